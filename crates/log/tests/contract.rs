//! Both engines pass the contract suite.

use drover_log::contract::Fixture;
use drover_log::{Engine, Faults, MemoryEngine, SegmentEngine, SegmentSettings};

mod memory {
    use super::*;

    struct Memory(Faults);

    impl Fixture for Memory {
        fn open(&self) -> Box<dyn Engine> {
            Box::new(MemoryEngine::with_faults(64 << 20, self.0.clone()))
        }

        fn survives_reopening(&self) -> bool {
            false
        }

        fn faults(&self) -> &Faults {
            &self.0
        }
    }

    drover_log::contract_tests!(Memory(Faults::default()));
}

mod segments {
    use super::*;

    struct Segments {
        folder: tempfile::TempDir,
        faults: Faults,
    }

    impl Segments {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), faults: Faults::default() }
        }
    }

    impl Fixture for Segments {
        fn open(&self) -> Box<dyn Engine> {
            let settings = SegmentSettings {
                segment_bytes: 32 << 10,
                spare_retry_ms: 5,
                faults: self.faults.clone(),
                ..SegmentSettings::new(self.folder.path())
            };
            Box::new(SegmentEngine::open(settings).unwrap())
        }

        fn survives_reopening(&self) -> bool {
            true
        }

        fn faults(&self) -> &Faults {
            &self.faults
        }
    }

    drover_log::contract_tests!(Segments::new());
}
