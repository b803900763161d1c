//! Test 4 of the reliability test plan: power failures at every sync, with a disk that keeps only what was synced.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::disk::{CALLS, Call, Disk, calls};
use crate::faults::{RUN, STEPS, acknowledged, effects, go_on_to_the_end, judge, nothing_said_is_lost, place};
use crate::support::Runbook;
use crate::tracing::{each, is_possible, tell, trace, traced};

/// What the world saw of the run until some moment.
#[derive(Default)]
struct World {
    said: String,
    effects: Vec<String>,
    mended: bool,
}

impl World {
    fn see(&mut self, call: &Call, program: &str, work: &Path) {
        match call.name.as_str() {
            "write" if call.process == program && call.rest.starts_with('1') => self.said.push_str(&call.text()),
            "write" => {
                let file = call.file();
                let name = file.strip_prefix(work.join("effects")).ok();
                self.effects.extend(name.map(|name| name.display().to_string()));
            }
            "unlink" | "unlinkat" => self.mended |= call.texts.iter().any(|text| text.ends_with(b"fault")),
            _ => {}
        }
    }

    /// A place in which just that has happened.
    fn build(&self) -> Runbook {
        let place = place();
        for name in &self.effects {
            let file = format!("effects/{name}");
            place.write(&file, format!("{}{name}\n", place.read(&file)));
        }
        if self.mended {
            std::fs::remove_file(place.path("fault")).expect("the fault");
        }
        place
    }
}

/// Looks at the state after the power failure, and goes on from it.
fn come_back(world: &World, place: &Runbook, what: &str) -> usize {
    let kept = nothing_said_is_lost(place, &acknowledged(&world.said), what);
    judge(place, what);
    go_on_to_the_end(place, what);
    assert_eq!(place.newest()["outcome"], "resolved", "{what}");
    for (step, twice) in STEPS {
        let count = effects(place, step);
        assert!(count == 1 || (twice && count == 2), "{what}: {step} ran {count} times");
    }
    drop(place.call("audit verify").exits(0));
    kept
}

#[test]
fn t04_whatever_was_not_synced_is_lost_and_nothing_that_was_acknowledged() {
    if !is_possible("test 4 (writes that were not synced are lost)") {
        return;
    }
    let original = place();
    let options = ["-y", "-xx", "-s", "1000000", "-e", &format!("trace={CALLS}")];
    drop(traced(&original, &options, &RUN).done().exits(0));
    let calls = calls(&trace(&original));
    let program = calls[0].process.clone();
    let moments: Vec<usize> = (0..calls.len()).filter(|number| Disk::is_sync(&calls[*number])).collect();
    // Right before a sync most is at stake; the end of it all is a moment, too.
    let moments: Vec<(usize, bool)> =
        moments.into_iter().chain([calls.len()]).flat_map(|moment| [(moment, false), (moment, true)]).collect();
    assert!(moments.len() > 60, "{}", moments.len());
    let kept = AtomicUsize::new(0);
    each(&moments, |(moment, some_survive)| {
        let what = format!("power failure before call {moment}, unsynced writes survive: {some_survive}");
        let (mut disk, mut world) = (Disk::new(&original.state()), World::default());
        for call in &calls[..*moment] {
            disk.take(call);
            world.see(call, &program, &original.path(""));
        }
        let place = world.build();
        let mut dice = *moment as u64;
        let mut survives = || {
            // The multiplier and increment of Knuth's generator of 64 bits; its high bits are good.
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *some_survive && dice >> 63 == 1
        };
        disk.fail(&place.state(), &mut survives);
        kept.fetch_add(come_back(&world, &place, &what), Ordering::Relaxed);
    });
    let kept = kept.load(Ordering::Relaxed);
    tell(&format!("test 4: {} power failures, {kept} acknowledgements, lost = 0", moments.len()));
}
