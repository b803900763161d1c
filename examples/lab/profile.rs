//! The systems that the lab can stand in for: their models, their routes, their words.

use std::path::{Path, PathBuf};

use crate::wording::{self, Wording};

/// What distinguishes one platform from another. The engine room is the same for all of them.
pub struct Profile {
    pub name: &'static str,
    pub title: &'static str,
    pub providers: &'static [ProviderSpec],
    pub routes: Routes,
    /// What the names of metrics begin with.
    pub prefix: &'static str,
    pub wording: &'static Wording,
    /// Whether its own traffic is columns with known types, which are cached and counted on the way.
    pub columns: bool,
    /// Files that come with the repository, for playbooks: the input's name, and the file below `models`.
    pub data: &'static [(&'static str, &'static str)],
    /// Broken releases of the first provider's model: what a fault calls it, and the file in the repository.
    pub twins: &'static [(&'static str, &'static str)],
}

/// A model of the platform. The first one of a profile is the one that faults are done to.
pub struct ProviderSpec {
    pub name: &'static str,
    pub input: &'static str,
    pub features: usize,
    pub output: &'static str,
    pub classes: usize,
}

/// The paths that differ between platforms.
pub struct Routes {
    pub providers: &'static str,
    pub test: &'static str,
    pub reload: &'static str,
}

static PROFILES: &[&Profile] = &[&CAD, &COLUMN_CLASSIFIER];

/// The CAD and drawing-recognition platform.
static CAD: Profile = Profile {
    name: "cad",
    title: "CAD ML platform",
    providers: &[
        ProviderSpec { name: "ocr-text", input: "features", features: 64, output: "probabilities", classes: 10 },
        ProviderSpec { name: "ocr-layout", input: "features", features: 48, output: "probabilities", classes: 6 },
    ],
    routes: Routes { providers: "/api/v1/ocr/providers", test: "/api/v1/ocr/test", reload: "/api/v1/admin/reload" },
    prefix: "ocr",
    wording: &wording::PYTHON,
    columns: false,
    data: &[],
    twins: &[
        ("future-opset", "models/faults/ocr-text/future-opset.onnx"),
        ("nan", "models/faults/ocr-text/nan.onnx"),
        ("wrong-shape", "models/faults/ocr-text/wrong-shape.onnx"),
    ],
};

/// The service that tells what the columns of a table hold.
static COLUMN_CLASSIFIER: Profile = Profile {
    name: "column-classifier",
    title: "column classifier",
    providers: &[ProviderSpec {
        name: "column-classifier",
        input: "features",
        features: 376,
        output: "probabilities",
        classes: 12,
    }],
    routes: Routes { providers: "/api/v1/models", test: "/api/v1/models/load", reload: "/api/v1/admin/reload" },
    prefix: "ml_classifier",
    wording: &wording::BRACKETS,
    columns: true,
    data: &[("labelled", "column-classifier/data/valid.npz"), ("reference", "column-classifier/data/reference.npz")],
    twins: &[
        ("future-opset", "tests/fixtures/onnx/bad_future_opset.onnx"),
        ("nan", "tests/fixtures/onnx/bad_nan.onnx"),
        ("wrong-shape", "tests/fixtures/onnx/bad_width.onnx"),
        ("wrong-labels", "tests/fixtures/onnx/bad_permuted.onnx"),
        ("underconfident", "models/faults/column-classifier/underconfident.onnx"),
        ("slow", "models/faults/column-classifier/slow.onnx"),
        ("quantised", "tests/fixtures/onnx/mlp376_int8.onnx"),
    ],
};

impl Profile {
    pub fn find(name: &str) -> Option<&'static Profile> {
        PROFILES.iter().copied().find(|profile| profile.name == name)
    }

    /// The path of a broken or quantised twin of the first provider's model, if this profile has one.
    pub fn twin(&self, name: &str) -> Option<PathBuf> {
        let (_, file) = self.twins.iter().find(|(found, _)| *found == name)?;
        Some(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))
    }

    /// The provider that faults are done to.
    pub fn first(&self) -> &'static ProviderSpec {
        &self.providers[0]
    }
}

pub fn names() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|profile| profile.name)
}
