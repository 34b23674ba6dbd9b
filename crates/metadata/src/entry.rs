//! One entry of a document: first what was said (any JSON in any field), then what is believed of it. A wrong entry
//! costs only itself, so nothing here ends the reading of the document unless it is no JSON.

use crate::table::Entry;
use drover_geo::Point;
use drover_model::{Kind, check_id};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Longest name of a depot or a class, bytes.
const NAME_MAX_BYTES: usize = 100;
/// Top speeds that are believed, km/h.
const MAX_SPEED_KMH: std::ops::RangeInclusive<f64> = 1.0..=5_000.0;

/// One element of the list as it stands there.
pub(crate) enum Said {
    Fields(Box<Fields>),
    /// Not an object.
    Other(&'static str),
}

/// The fields of an entry, as said.
#[derive(Default)]
pub(crate) struct Fields {
    vehicle_id: Plain,
    id: Plain,
    kind: Plain,
    max_speed_kmh: Plain,
    max_speed: Plain,
    depot: SaidDepot,
    depot_lat: Plain,
    depot_lon: Plain,
    class: Plain,
    vehicle_class: Plain,
    other_type: Plain,
}

/// A value that should be a text or a number.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) enum Plain {
    #[default]
    Nothing,
    Text(String),
    Whole(i128),
    Number(f64),
    Other(&'static str),
}

#[derive(Default)]
enum SaidDepot {
    #[default]
    Nothing,
    Fields {
        id: Plain,
        name: Plain,
        lat: Plain,
        lon: Plain,
    },
    Other(&'static str),
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    VehicleId,
    Id,
    Kind,
    MaxSpeedKmh,
    MaxSpeed,
    Depot,
    #[serde(alias = "depot_latitude")]
    DepotLat,
    #[serde(alias = "depot_lng", alias = "depot_long", alias = "depot_longitude")]
    DepotLon,
    Class,
    VehicleClass,
    Type,
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum DepotKey {
    Id,
    Name,
    #[serde(alias = "latitude")]
    Lat,
    #[serde(alias = "lng", alias = "long", alias = "longitude")]
    Lon,
    #[serde(other)]
    Unknown,
}

/// Name and place of a depot.
type NamedPlace<'a> = (Option<Cow<'a, str>>, Point);

/// Texts that an [`Entry`] borrows.
pub(crate) struct Believed<'a> {
    pub kind: Kind,
    pub id: Cow<'a, str>,
    max_speed_kmh: Option<f32>,
    depot: Option<NamedPlace<'a>>,
    class: Option<Cow<'a, str>>,
}

impl Believed<'_> {
    pub(crate) fn entry(&self) -> Entry<'_> {
        Entry {
            kind: self.kind,
            id: &self.id,
            max_speed_kmh: self.max_speed_kmh,
            depot: self.depot.as_ref().map(|(name, at)| (name.as_deref(), *at)),
            class: self.class.as_deref(),
        }
    }
}

impl Fields {
    /// The entry's name as far as it has one. `key` is its name in an object of entries.
    pub(crate) fn name<'a>(&'a self, key: Option<&'a str>) -> Option<Cow<'a, str>> {
        self.vehicle_id.shown().or_else(|| self.id.shown()).or(key.map(Cow::Borrowed))
    }

    /// What is believed; on error the reason, for people.
    pub(crate) fn check<'a>(&'a self, key: Option<&'a str>) -> Result<Believed<'a>, String> {
        let id = self.name(key).ok_or("no vehicle_id")?;
        check_id(&id).map_err(|reject| reject.message.to_string())?;
        let kind = match self.kind.text("kind")? {
            None => Kind::Vehicle,
            Some(word) => Kind::parse(&word).ok_or_else(|| format!("kind {word:?} is not known"))?,
        };
        let max_speed_kmh = match self.max_speed_kmh.number("max_speed_kmh")? {
            None => self.max_speed.number("max_speed")?,
            some => some,
        };
        let max_speed_kmh = max_speed_kmh.map(speed).transpose()?;
        Ok(Believed { kind, id, max_speed_kmh, depot: self.depot()?, class: self.class()? })
    }

    fn class(&self) -> Result<Option<Cow<'_, str>>, String> {
        for (said, field) in
            [(&self.class, "class"), (&self.vehicle_class, "vehicle_class"), (&self.other_type, "type")]
        {
            if let Some(class) = said.text(field)? {
                return Ok(Some(class));
            }
        }
        Ok(None)
    }

    /// A depot without a place is as good as none: nothing can be measured from it.
    fn depot(&self) -> Result<Option<NamedPlace<'_>>, String> {
        if let SaidDepot::Other(what) = self.depot {
            return Err(format!("depot is {what}, not an object"));
        }
        if let SaidDepot::Fields { id, name, lat, lon } = &self.depot
            && let Some(at) = place(lat, lon, "depot latitude", "depot longitude")?
        {
            let name = match id.text("depot id")? {
                None => name.text("depot name")?,
                some => some,
            };
            return Ok(Some((name, at)));
        }
        Ok(place(&self.depot_lat, &self.depot_lon, "depot_lat", "depot_lon")?.map(|at| (None, at)))
    }
}

fn speed(kmh: f64) -> Result<f32, String> {
    if MAX_SPEED_KMH.contains(&kmh) {
        Ok(kmh as f32)
    } else {
        Err(format!("max_speed {kmh} is not within {} to {} km/h", MAX_SPEED_KMH.start(), MAX_SPEED_KMH.end()))
    }
}

fn place(lat: &Plain, lon: &Plain, lat_name: &str, lon_name: &str) -> Result<Option<Point>, String> {
    let coordinate = |said: &Plain, name, max: f64| match said.number(name)? {
        Some(degrees) if degrees.abs() > max => Err(format!("{name} {degrees} is not within -{max} to {max}")),
        other => Ok(other),
    };
    match (coordinate(lat, lat_name, 90.0)?, coordinate(lon, lon_name, 180.0)?) {
        (Some(lat), Some(lon)) => Ok(Some(Point::new(lat, lon))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(format!("{lon_name} without {lat_name}")),
        (Some(_), None) => Err(format!("{lat_name} without {lon_name}")),
    }
}

impl Plain {
    fn shown(&self) -> Option<Cow<'_, str>> {
        match self {
            Plain::Text(text) if !text.trim().is_empty() => Some(text.trim().into()),
            Plain::Whole(number) => Some(number.to_string().into()),
            Plain::Number(number) => Some(number.to_string().into()),
            _ => None,
        }
    }

    fn text(&self, field: &str) -> Result<Option<Cow<'_, str>>, String> {
        match (self, self.shown()) {
            (Plain::Other(what), _) => Err(format!("{field} is {what}, not a text")),
            (_, Some(text)) if text.len() > NAME_MAX_BYTES => {
                Err(format!("{field} has {} bytes; at most {NAME_MAX_BYTES} are allowed", text.len()))
            }
            (_, text) => Ok(text),
        }
    }

    fn number(&self, field: &str) -> Result<Option<f64>, String> {
        match self {
            Plain::Nothing => Ok(None),
            Plain::Whole(number) => Ok(Some(*number as f64)),
            Plain::Number(number) => Ok(Some(*number)),
            Plain::Text(text) => match text.trim() {
                "" => Ok(None),
                text => text
                    .parse()
                    .ok()
                    .filter(|number: &f64| number.is_finite())
                    .map(Some)
                    .ok_or_else(|| format!("{field} {text:?} is not a number")),
            },
            Plain::Other(what) => Err(format!("{field} is {what}, not a number")),
        }
    }
}

/// The values that are the same for every visitor here: whatever is no object is known by its kind only.
macro_rules! takes {
    ($of:expr, $($visit:ident($type:ty) => $what:expr),* $(,)?) => {
        $(fn $visit<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok($of($what))
        })*
    };
}

struct SaidVisitor;

impl<'de> Visitor<'de> for SaidVisitor {
    type Value = Said;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry")
    }

    takes!(Said::Other, visit_bool(bool) => "true or false", visit_i64(i64) => "a number", visit_u64(u64) => "a number",
        visit_f64(f64) => "a number", visit_str(&str) => "a text");

    fn visit_unit<E>(self) -> Result<Said, E> {
        Ok(Said::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Said, A::Error> {
        pass_over(seq)?;
        Ok(Said::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
        let mut fields = Box::<Fields>::default();
        while let Some(key) = map.next_key()? {
            let field = match key {
                Key::VehicleId => &mut fields.vehicle_id,
                Key::Id => &mut fields.id,
                Key::Kind => &mut fields.kind,
                Key::MaxSpeedKmh => &mut fields.max_speed_kmh,
                Key::MaxSpeed => &mut fields.max_speed,
                Key::DepotLat => &mut fields.depot_lat,
                Key::DepotLon => &mut fields.depot_lon,
                Key::Class => &mut fields.class,
                Key::VehicleClass => &mut fields.vehicle_class,
                Key::Type => &mut fields.other_type,
                Key::Depot => {
                    fields.depot = map.next_value()?;
                    continue;
                }
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = map.next_value()?;
        }
        Ok(Said::Fields(fields))
    }
}

struct DepotVisitor;

impl<'de> Visitor<'de> for DepotVisitor {
    type Value = SaidDepot;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a depot")
    }

    takes!(SaidDepot::Other, visit_bool(bool) => "true or false");

    fn visit_str<E>(self, _: &str) -> Result<SaidDepot, E> {
        Ok(SaidDepot::Nothing) // a name alone
    }

    fn visit_i64<E>(self, _: i64) -> Result<SaidDepot, E> {
        Ok(SaidDepot::Nothing)
    }

    fn visit_u64<E>(self, _: u64) -> Result<SaidDepot, E> {
        Ok(SaidDepot::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<SaidDepot, E> {
        Ok(SaidDepot::Nothing)
    }

    fn visit_unit<E>(self) -> Result<SaidDepot, E> {
        Ok(SaidDepot::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<SaidDepot, A::Error> {
        pass_over(seq)?;
        Ok(SaidDepot::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SaidDepot, A::Error> {
        let [mut id, mut name, mut lat, mut lon] = [const { Plain::Nothing }; 4];
        while let Some(key) = map.next_key()? {
            match key {
                DepotKey::Id => id = map.next_value()?,
                DepotKey::Name => name = map.next_value()?,
                DepotKey::Lat => lat = map.next_value()?,
                DepotKey::Lon => lon = map.next_value()?,
                DepotKey::Unknown => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(SaidDepot::Fields { id, name, lat, lon })
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    takes!(Plain::Other, visit_bool(bool) => "true or false");

    fn visit_i64<E>(self, number: i64) -> Result<Plain, E> {
        Ok(Plain::Whole(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Plain, E> {
        Ok(Plain::Whole(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Plain, E> {
        Ok(Plain::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Plain, E> {
        Ok(Plain::Text(text.into()))
    }

    fn visit_unit<E>(self) -> Result<Plain, E> {
        Ok(Plain::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Plain, A::Error> {
        pass_over(seq)?;
        Ok(Plain::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plain, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Plain::Other("an object"))
    }
}

fn pass_over<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Said, D::Error> {
        from.deserialize_any(SaidVisitor)
    }
}

impl<'de> Deserialize<'de> for SaidDepot {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<SaidDepot, D::Error> {
        from.deserialize_any(DepotVisitor)
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Plain, D::Error> {
        from.deserialize_any(PlainVisitor)
    }
}
