//! A server that stands still and comes to itself: what was decided meanwhile holds.

use rustix::process::Signal;
use serde_json::json;

use super::{PLAYBOOK, place, start};

/// While it stands still, its run is nobody else's; when it comes to itself, the run goes on as if nothing had been.
#[test]
fn t13_a_server_that_stands_still_keeps_its_run_and_nobody_does_it_twice() {
    let slow = PLAYBOOK
        .replace("argv: [sh, -c, 'echo", "argv: [sh, -c, 'touch begun; while [ ! -e go ]; do sleep 0.05; done; echo");
    let runbook = place("").file("playbooks/note.yaml", slow);
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.running.until("it has begun", || runbook.exists("begun"));
    let run = runbook.newest_run();
    served.running.signal(Signal::STOP);
    runbook.args(["resume", &run]).done().exits(2).says("is being run by another process");
    runbook.call("serve").exits(2).says("another `runbook serve` works on");
    runbook.write("go", "");
    served.running.signal(Signal::CONT);
    served.running.until("it has ended", || served.client.tickets()["closed"][0]["outcome"] == json!("healthy"));
    assert_eq!(runbook.read("ran.txt"), "a\n");
    runbook.call("audit verify").exits(0);
}

/// A run that waited when the server stopped, and that was answered and ended meanwhile, is over for the server too.
#[test]
fn t13_what_ended_while_the_server_stood_still_is_not_done_again() {
    let asks = PLAYBOOK.replace("diagnose:", "causes: {always: {title: Always, when: 'true'}}\ndiagnose:")
        + "remediate:\n  act: {fixes: [always], command: {argv: [sh, -c, 'echo >> acted']}, approve: {}}\n";
    let runbook = place("").file("playbooks/note.yaml", asks);
    let mut served = start(&runbook);
    served.alert(&["a"]).is(202);
    served.running.until_it_says("parked");
    let run = runbook.newest_run();
    served.running.signal(Signal::STOP);
    runbook.args(["approve", &run]).done();
    assert_eq!(runbook.read("acted"), "\n");
    served.running.signal(Signal::CONT);
    served.running.until("its ticket is closed", || served.client.tickets()["closed"][0]["run"] == json!(run));
    assert_eq!(runbook.read("acted"), "\n", "once");
    runbook.call("audit verify").exits(0);
}
