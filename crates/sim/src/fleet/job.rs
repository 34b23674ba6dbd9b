//! What somebody of the fleet is about: an order, from setting off for it to the stop at the customer's.

use crate::ground::Place;
use crate::report::Kind;

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// On the way to where it is fetched.
    Collecting,
    /// Standing there.
    PickedUp,
    /// On the way to the customer.
    Delivering,
    /// Standing there.
    Arrived,
}

/// An order, and who has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What sort of asset he reports as.
    pub kind: Kind,
    /// Under which id.
    pub id: String,
    /// The order's number; reports name it from [`Stage::Delivering`] on.
    pub order_id: String,
    /// How far it is.
    pub stage: Stage,
    /// Where he is.
    pub place: Place,
    /// Where he drives to, or stands.
    pub goal: Place,
}
