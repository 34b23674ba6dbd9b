//! How a resource is defined: its fields, what they may hold, which of them are personal, to which fleet a record
//! belongs. SQL, validation, CSV columns and the schemas of the documentation all come from these definitions; the
//! definitions themselves are in `resources`.

use drover_access::Permission;
use drover_model::Kind;

/// One sort of record: vehicles, drivers, deliveries …
#[derive(Debug)]
pub struct Resource {
    /// The plural word: in paths, in the outbox, and (mostly) the table's name.
    pub name: &'static str,
    /// The word for one.
    pub singular: &'static str,
    /// The table.
    pub table: &'static str,
    /// Ids that Drover makes begin with it and a hyphen.
    pub id_prefix: &'static str,
    /// What a record holds, beside id, version and the two times.
    pub fields: &'static [Field],
    /// The kind of asset whose ids these are, where records are assets of telemetry.
    pub asset: Option<Kind>,
    /// Where the record's fleet is written.
    pub fleet: FleetOf,
    /// Whose personal data it holds.
    pub person: PersonOf,
    /// Needed for reading.
    pub read: Permission,
    /// Needed for changing.
    pub write: Permission,
    /// What it is, for the documentation.
    pub doc: &'static str,
}

/// Where a record's fleet is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetOf {
    /// In its own field `fleet_id`.
    OwnField,
    /// It is a fleet.
    SelfId,
    /// In the record of `resource` that `field` names.
    Via {
        /// The field of this record.
        field: &'static str,
        /// Where it points.
        resource: &'static str,
    },
    /// It belongs to the whole organisation: everybody with the permission reads it, who reaches all fleets changes it.
    Organisation,
}

/// Whose personal data a record holds; sealed fields are sealed for that person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonOf {
    /// Nobody's.
    Nobody,
    /// The record is about a person.
    Itself,
    /// Its customer's; its own, where it has no customer.
    Customer,
}

/// One field of a resource.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The name in JSON, in CSV and of the column.
    pub name: &'static str,
    /// What it may hold.
    pub kind: FieldKind,
    /// True if a record cannot be without it.
    pub required: bool,
    /// Among which records no two may hold the same.
    pub unique: Unique,
    /// Whether it is about a person, and so sealed in the table.
    pub personal: Personal,
    /// True if it may be about a person though the table has it in the clear (where somebody lives, a note): changes show
    /// it as `(sealed)`, and the erasure of the person whom the record is about empties it.
    pub untold: bool,
    /// True if there is an index for it.
    pub indexed: bool,
    /// True if Drover sets it; a request may repeat its value but not change it.
    pub read_only: bool,
    /// What a new record holds where the request says nothing.
    pub default: Option<&'static str>,
    /// What it means, for the documentation.
    pub doc: &'static str,
}

/// What a field may hold.
#[derive(Debug, Clone, Copy)]
pub enum FieldKind {
    /// Text of 1 to `max` bytes.
    Text {
        /// Most bytes.
        max: usize,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number.
    Integer {
        /// Least.
        min: i64,
        /// Most.
        max: i64,
    },
    /// A number.
    Real {
        /// Least.
        min: f64,
        /// Most.
        max: f64,
    },
    /// Yes or no; a column of 0 and 1.
    Flag,
    /// A moment: RFC 3339 or epoch milliseconds in, RFC 3339 out, ms UTC in the column.
    Time,
    /// A day: `2026-01-31`.
    Date,
    /// The id of a record of that resource.
    Ref(&'static str),
    /// An id by the rule of asset ids, of something that the registry need not know.
    Id,
    /// A JSON object of at most so many bytes.
    Object {
        /// Most bytes, as JSON.
        max_bytes: usize,
    },
    /// A list of objects with these fields.
    List {
        /// Most items.
        max_items: usize,
        /// The fields of each.
        item: &'static [Field],
    },
}

/// Among which records no two may hold the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unique {
    /// Any number may.
    No,
    /// Those of one fleet; those of no fleet are one more group.
    InFleet,
    /// All of them: for what is made by Drover and cannot be guessed.
    Everywhere,
}

/// Whether a field is about a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personal {
    /// No.
    No,
    /// Yes: sealed in the table, cannot be searched.
    Sealed,
    /// Yes: sealed in the table; equal values are found through a blind index in the column `<name>_blind`.
    SealedIndexed,
}

impl Resource {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// One of them, in a sentence: `a vehicle`, `an assignment`.
    pub(crate) fn one(&self) -> String {
        let article = if self.singular.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        format!("{article} {}", self.singular)
    }

    /// True if some field is sealed.
    pub fn is_personal(&self) -> bool {
        self.person != PersonOf::Nobody
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Resource) -> bool {
        self.name == other.name
    }
}

impl Field {
    /// A field that may be left out.
    pub const fn new(name: &'static str, kind: FieldKind, doc: &'static str) -> Field {
        Field {
            name,
            kind,
            required: false,
            unique: Unique::No,
            personal: Personal::No,
            untold: false,
            indexed: false,
            read_only: false,
            default: None,
            doc,
        }
    }

    /// A record cannot be without it.
    pub const fn required(mut self) -> Field {
        self.required = true;
        self
    }

    /// No two records may hold the same, in whichever fleet they are.
    pub const fn unique(mut self) -> Field {
        self.unique = Unique::Everywhere;
        self
    }

    /// No two records of one fleet may hold the same; what a foreign fleet holds is not told by a refusal.
    pub const fn unique_in_fleet(mut self) -> Field {
        self.unique = Unique::InFleet;
        self
    }

    /// There is an index for it.
    pub const fn indexed(mut self) -> Field {
        self.indexed = true;
        self
    }

    /// It is about a person.
    pub const fn sealed(mut self) -> Field {
        self.personal = Personal::Sealed;
        self
    }

    /// It is about a person, and equal values can be found.
    pub const fn sealed_indexed(mut self) -> Field {
        self.personal = Personal::SealedIndexed;
        self
    }

    /// Changes do not tell it, and an erasure empties it.
    pub const fn untold(mut self) -> Field {
        self.untold = true;
        self
    }

    /// Drover sets it.
    pub const fn read_only(mut self) -> Field {
        self.read_only = true;
        self
    }

    /// What a new record holds where the request says nothing.
    pub const fn default(mut self, word: &'static str) -> Field {
        self.default = Some(word);
        self
    }

    /// True if the column holds sealed text.
    pub const fn is_sealed(&self) -> bool {
        !matches!(self.personal, Personal::No)
    }

    /// True if an erasure empties it, and no change shows it.
    pub const fn is_private(&self) -> bool {
        self.is_sealed() || self.untold
    }
}
