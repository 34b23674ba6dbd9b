//! What a list is asked for in an address: page, limit, sort, search, and a filter for each field that can be compared.

use super::body::wrong;
use crate::schema::{Field, FieldKind, Personal, Resource};
use crate::{Comparison, LIMIT_DEFAULT, LIMIT_MAX, Query};
use drover_answer::Problem;

/// Pages that can be asked for; far behind the last one of any list.
pub(super) const PAGE_MAX: u32 = 1_000_000;
/// Longest value of a filter.
const VALUE_MAX_BYTES: usize = 4096;
/// Fields that a list may be sorted by at once.
const SORT_MAX: usize = 4;
/// What every record has beside its fields.
const TIMES: [&str; 2] = ["created_at", "updated_at"];

/// Names and values of an address, in their order.
pub(super) type Pairs = Vec<(String, String)>;

/// The list that the address asks for.
pub(super) fn list(resource: &'static Resource, pairs: Pairs) -> Result<Query, Problem> {
    let mut query = Query { limit: LIMIT_DEFAULT, ..Query::default() };
    for (name, value) in once_each(pairs)? {
        match name.as_str() {
            "page" => query.page = number(&name, &value, PAGE_MAX)?,
            "limit" => query.limit = number(&name, &value, LIMIT_MAX)?,
            "sort" => query.sort = sort(resource, &value)?,
            "q" => query.search = Some(value).filter(|text| !text.trim().is_empty()),
            _ => {
                let (field, comparison) = filter(resource, &name)?;
                query.filters.push((field, comparison, value));
            }
        }
    }
    Ok(query)
}

/// The filters alone, where pages and order are not the caller's to choose.
pub(super) fn filters(resource: &'static Resource, pairs: Pairs) -> Result<Query, Problem> {
    let paged = |name: &str| matches!(name, "page" | "limit" | "sort");
    match pairs.iter().find(|(name, _)| paged(name)) {
        Some((name, _)) => Err(unknown(resource, name)),
        None => list(resource, pairs),
    }
}

/// Refuses what is asked twice, and what no database can be asked.
pub(super) fn once_each(pairs: Pairs) -> Result<Pairs, Problem> {
    for (n, (name, value)) in pairs.iter().enumerate() {
        if pairs[..n].iter().any(|(earlier, _)| earlier == name) {
            let field = name.split('[').next().unwrap_or(name);
            let message = format!("{name} is given twice; for several values use {field}[in]=a,b");
            return Err(wrong(name, "out_of_range", message));
        }
        if value.len() > VALUE_MAX_BYTES || value.contains('\0') || name.contains('\0') {
            let message = format!("a value of at most {VALUE_MAX_BYTES} bytes, without U+0000, can be asked for");
            return Err(wrong(name.replace('\0', "?"), "out_of_range", message));
        }
    }
    Ok(pairs)
}

/// A whole number from 1 to `most`.
pub(super) fn number(name: &str, value: &str, most: u32) -> Result<u32, Problem> {
    value.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| {
        let value: String = value.chars().take(40).collect();
        wrong(name, "out_of_range", format!("{name} is {value:?}; allowed are whole numbers from 1 to {most}"))
    })
}

/// Refuses every parameter that is not one of `allowed`.
pub(super) fn only(pairs: &Pairs, allowed: &[&str]) -> Result<(), Problem> {
    match pairs.iter().find(|(name, _)| !allowed.contains(&name.as_str())) {
        Some((name, _)) => {
            let named = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
            Err(wrong(
                shown(name),
                "unknown_field",
                format!("there is no parameter {:?}; allowed: {named}", shown(name)),
            ))
        }
        None => Ok(()),
    }
}

/// True if records can be found by the field's value.
pub(super) fn can_filter(field: &Field) -> bool {
    let plain = !matches!(field.kind, FieldKind::Object { .. } | FieldKind::List { .. });
    plain && field.personal != Personal::Sealed
}

/// True if records can be sorted by the field.
pub(super) fn can_sort(field: &Field) -> bool {
    can_filter(field) && field.personal == Personal::No
}

/// True if values of the field come one after the other: `field[gte]=` and `field[lte]=`.
pub(super) fn is_ordered(field: &Field) -> bool {
    use FieldKind::{Date, Integer, Real, Time};
    can_sort(field) && matches!(field.kind, Integer { .. } | Real { .. } | Time | Date)
}

/// `status`, `status[in]`, `rating[gte]`.
fn filter(resource: &'static Resource, name: &str) -> Result<(String, Comparison), Problem> {
    let (field, word) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((field, word)) => (field, word),
        None => (name, ""),
    };
    let comparison = match word {
        "" if field == name => Comparison::Eq,
        "in" => Comparison::In,
        "gte" => Comparison::Gte,
        "lte" => Comparison::Lte,
        _ => return Err(unknown(resource, name)),
    };
    let needs_order = matches!(comparison, Comparison::Gte | Comparison::Lte);
    let known = match resource.field(field) {
        Some(definition) => {
            if needs_order {
                is_ordered(definition)
            } else {
                can_filter(definition)
            }
        }
        None => TIMES.contains(&field) || (field == "id" && !needs_order),
    };
    if known { Ok((field.to_owned(), comparison)) } else { Err(unknown(resource, name)) }
}

/// `name,-created_at`.
fn sort(resource: &'static Resource, value: &str) -> Result<Vec<(String, bool)>, Problem> {
    let words: Vec<&str> = value.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if words.len() > SORT_MAX {
        return Err(wrong("sort", "out_of_range", format!("sort names at most {SORT_MAX} fields")));
    }
    words
        .into_iter()
        .map(|word| {
            let (field, descending) = word.strip_prefix('-').map_or((word, false), |field| (field, true));
            let known = sortable(resource).any(|known| known == field);
            known.then(|| (field.to_owned(), descending)).ok_or_else(|| {
                let all: Vec<_> = sortable(resource).collect();
                let message = format!("{} cannot be sorted by; allowed: {}", shown(field), all.join(", "));
                wrong("sort", "out_of_range", message)
            })
        })
        .collect()
}

/// What a list can be sorted by.
pub(super) fn sortable(resource: &'static Resource) -> impl Iterator<Item = &'static str> {
    let fields = resource.fields.iter().filter(|field| can_sort(field)).map(|field| field.name);
    ["id"].into_iter().chain(fields).chain(TIMES)
}

/// Every parameter that a list of the resource knows.
fn allowed(resource: &'static Resource) -> String {
    let mut names = vec!["page".to_owned(), "limit".into(), "sort".into(), "q".into(), "id".into()];
    for field in resource.fields.iter().filter(|field| can_filter(field)) {
        names.push(field.name.into());
        if is_ordered(field) {
            names.extend([format!("{}[gte]", field.name), format!("{}[lte]", field.name)]);
        }
    }
    for name in TIMES {
        names.extend([name.into(), format!("{name}[gte]"), format!("{name}[lte]")]);
    }
    names.join(", ")
}

fn unknown(resource: &'static Resource, name: &str) -> Problem {
    let name = shown(name);
    let message = format!(
        "there is no parameter {name:?} here; allowed: {}; of fields that can be equal also field[in]",
        allowed(resource)
    );
    wrong(name, "unknown_field", message)
}

/// What somebody sent, short enough to be repeated.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}
