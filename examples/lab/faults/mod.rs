//! The faults that can be done to a lab. Each is an entry of [`FAULTS`]; what they change is real, and
//! so is what the platform suffers from it.

mod columns;
mod deployment;
mod model_file;
mod operation;

use serde_json::Value;

use crate::client::Client;
use crate::error::LabError;
use crate::folder::Folder;
use crate::supervisor;

/// Something that can be done to a lab.
pub struct Fault {
    pub name: &'static str,
    /// What is done, and how it shows.
    pub summary: &'static str,
    /// Changes the files of the lab.
    apply: fn(&Folder) -> Result<(), LabError>,
    aftermath: Aftermath,
}

/// What happens to the platform after the files have changed; it notices nothing by itself.
enum Aftermath {
    /// It goes on with what it has in memory.
    Unnoticed,
    /// It loads the model of the first provider again, as it does after a deployment.
    FirstLoadsAgain,
    /// Every provider loads its model again.
    AllLoadAgain,
    /// It reads its configuration again, and the first provider's health shows the effect.
    Reconfigured,
    /// It reads its configuration again; the effect shows in its metrics, if at all.
    Reloaded,
    /// Its process ends without warning.
    Killed,
}

static FAULTS: &[Fault] = &[
    Fault {
        name: "missing-file",
        summary: "the model file is deleted; the provider cannot load it",
        apply: model_file::delete,
        aftermath: Aftermath::FirstLoadsAgain,
    },
    Fault {
        name: "empty-file",
        summary: "the model file has 0 bytes, as after a write onto a full disk",
        apply: model_file::empty,
        aftermath: Aftermath::FirstLoadsAgain,
    },
    Fault {
        name: "truncated-file",
        summary: "the model file is cut off in the middle, as after a broken download",
        apply: model_file::truncate,
        aftermath: Aftermath::FirstLoadsAgain,
    },
    Fault {
        name: "flipped-bit",
        summary: "one bit of a weight differs; the file still loads and answers, but wrongly, from the next load on",
        apply: model_file::flip_bit,
        aftermath: Aftermath::Unnoticed,
    },
    Fault {
        name: "wrong-permissions",
        summary: "nobody may read the model file (not as root, who reads everything)",
        apply: model_file::forbid,
        aftermath: Aftermath::FirstLoadsAgain,
    },
    Fault {
        name: "wrong-opset",
        summary: "a model for a future engine was deployed, with a manifest that agrees with it",
        apply: deployment::future_opset,
        aftermath: Aftermath::FirstLoadsAgain,
    },
    Fault {
        name: "nan-output",
        summary: "a model that answers NaN was deployed, with a manifest that agrees with it",
        apply: deployment::nan,
        aftermath: Aftermath::FirstLoadsAgain,
    },
    Fault {
        name: "wrong-shape",
        summary: "a model with fewer classes was deployed, with a manifest that agrees with it",
        apply: deployment::wrong_shape,
        aftermath: Aftermath::FirstLoadsAgain,
    },
    Fault {
        name: "bad-mirror",
        summary: "nan-output, and the mirror holds another bad model with a manifest that agrees: the fix does not help",
        apply: deployment::no_good_copy,
        aftermath: Aftermath::FirstLoadsAgain,
    },
    Fault {
        name: "two-providers",
        summary: "the model files of all providers are deleted",
        apply: model_file::delete_all,
        aftermath: Aftermath::AllLoadAgain,
    },
    Fault {
        name: "disabled-provider",
        summary: "the provider is left disabled in the configuration",
        apply: operation::disable,
        aftermath: Aftermath::Reconfigured,
    },
    Fault {
        name: "slow",
        summary: "a batching window of 400 ms is left in the configuration; every answer waits for it",
        apply: operation::slow_down,
        aftermath: Aftermath::Reconfigured,
    },
    Fault {
        name: "slow-model",
        summary: "a release that needs far too long for every answer was deployed, with a manifest that agrees",
        apply: deployment::slow,
        aftermath: Aftermath::FirstLoadsAgain,
    },
    Fault {
        name: "wrong-labels",
        summary: "a release whose labels are in another order was deployed, with a manifest that agrees",
        apply: deployment::wrong_labels,
        aftermath: Aftermath::FirstLoadsAgain,
    },
    Fault {
        name: "underconfident",
        summary: "a release was deployed whose confidence is too low for how often it is right",
        apply: deployment::underconfident,
        aftermath: Aftermath::FirstLoadsAgain,
    },
    Fault {
        name: "missing-executor",
        summary: "only an execution provider that this machine does not have is configured; the model does not load",
        apply: operation::misname_execution_provider,
        aftermath: Aftermath::Reconfigured,
    },
    Fault {
        name: "leak",
        summary: "the bound of the feature cache is removed; memory grows with every column, up to 512 MiB",
        apply: columns::leak,
        aftermath: Aftermath::Reloaded,
    },
    Fault {
        name: "batch-of-one",
        summary: "a batch size of 1 is left in the configuration",
        apply: columns::one_by_one,
        aftermath: Aftermath::Reloaded,
    },
    Fault {
        name: "short-features",
        summary: "one feature too few is taken from a column; the model refuses all of them",
        apply: columns::shorten,
        aftermath: Aftermath::Reloaded,
    },
    Fault {
        name: "nan-features",
        summary: "missing features are passed on as NaN; the model's answers are NaN as well",
        apply: columns::leave_gaps,
        aftermath: Aftermath::Reloaded,
    },
    Fault {
        name: "shifted-data",
        summary: "other tables come in than the model was trained for; it is wrong more often",
        apply: columns::shift,
        aftermath: Aftermath::Reloaded,
    },
    Fault {
        name: "crashed",
        summary: "the process is killed; its pid file stays",
        apply: operation::leave_files,
        aftermath: Aftermath::Killed,
    },
    Fault {
        name: "none",
        summary: "nothing is broken",
        apply: operation::leave_files,
        aftermath: Aftermath::Unnoticed,
    },
];

pub fn names() -> impl Iterator<Item = &'static str> {
    FAULTS.iter().map(|fault| fault.name)
}

pub fn all() -> impl Iterator<Item = &'static Fault> {
    FAULTS.iter()
}

pub fn find(name: &str) -> Result<&'static Fault, LabError> {
    let fault = FAULTS.iter().find(|fault| fault.name == name);
    fault.ok_or_else(|| LabError::impossible(format!("there is no fault '{name}'"), "`lab faults` lists them"))
}

impl Fault {
    /// Does the fault, and returns when the platform suffers from it.
    pub async fn inject(&self, folder: &Folder) -> Result<(), LabError> {
        (self.apply)(folder)?;
        let client = Client::new(folder)?;
        match self.aftermath {
            Aftermath::Unnoticed => {}
            Aftermath::FirstLoadsAgain => drop(client.initialise(folder.profile.first().name).await?),
            Aftermath::AllLoadAgain => load_all_again(folder, &client).await?,
            Aftermath::Reconfigured => reconfigure(folder, &client).await?,
            Aftermath::Reloaded => drop(client.reload().await?),
            Aftermath::Killed => return supervisor::crash(folder).await,
        }
        settle(folder, &client).await
    }
}

/// Makes every provider load its model again.
pub async fn load_all_again(folder: &Folder, client: &Client<'_>) -> Result<(), LabError> {
    for provider in folder.profile.providers {
        client.initialise(provider.name).await?;
    }
    Ok(())
}

/// A platform that classifies columns tells how well only when it has classified some.
pub async fn settle(folder: &Folder, client: &Client<'_>) -> Result<(), LabError> {
    let told = async || client.metrics().await.is_ok_and(|page| page.contains("\nerror_rate_percent "));
    if !folder.profile.columns || supervisor::wait_until(told).await {
        return Ok(());
    }
    Err(LabError::impossible("no columns are classified", "look at logs/app.log in the folder of the lab"))
}

/// A slow answer shows only after it was given, so this waits for the health to change.
async fn reconfigure(folder: &Folder, client: &Client<'_>) -> Result<(), LabError> {
    client.reload().await?;
    let status = Value::from("healthy");
    let pointer = format!("/providers/{}/status", folder.profile.first().name);
    let suffers = async || {
        let health = client.health().await;
        health.is_ok_and(|health| health.pointer(&pointer).is_some_and(|found| *found != status))
    };
    if supervisor::wait_until(suffers).await {
        Ok(())
    } else {
        Err(LabError::impossible("the fault does not show", "look at logs/app.log in the folder of the lab"))
    }
}
