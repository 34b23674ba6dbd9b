//! Which assets somebody may see. A read asks for every asset that it would show; what decides (fleets, roles)
//! is not known here.

use crate::Kind;
use std::fmt;
use std::sync::Arc;

/// Decides whether an asset may be seen. Asked on hot paths: quick, and never waiting.
pub trait Sees: Send + Sync {
    /// True if `kind`/`id` may be seen now.
    fn sees(&self, kind: Kind, id: &str) -> bool;
}

/// Everything, or what somebody's rights allow. Cheap to clone.
#[derive(Clone, Default)]
pub enum Sight {
    /// Every asset.
    #[default]
    All,
    /// Those that it sees.
    Some(Arc<dyn Sees>),
}

impl Sight {
    /// True if `kind`/`id` may be seen now.
    pub fn sees(&self, kind: Kind, id: &str) -> bool {
        match self {
            Sight::All => true,
            Sight::Some(sees) => sees.sees(kind, id),
        }
    }

    /// True if nothing is hidden, so that nobody needs to be asked asset by asset.
    pub fn is_all(&self) -> bool {
        matches!(self, Sight::All)
    }
}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_all() { "Sight::All" } else { "Sight::Some" })
    }
}
