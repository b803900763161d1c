//! What a step prints is seen on the page of its run while it goes on, whoever watches over its program.

use super::visitor::Browser;
use super::{place, start, token};

/// Prints, and waits until the test has seen it. `token-of-viewer` is a secret of the site.
const PRINTS: &str =
    "printf 'line one\\n<b>two</b> token-of-viewer\\n'; while [ ! -e go ]; do sleep 0.05; done; echo the end";

#[test]
fn output_is_seen_as_it_comes_without_secrets_and_is_gone_from_there_at_the_end() {
    for effect in ["read", "once"] {
        let playbook = format!(
            "runbook: 1\nname: note\ntitle: Prints\ntriggers: [{{alert: {{source: alertmanager, match: {{alertname: Note}}}}}}]\n\
             causes: {{always: {{title: Always, when: 'true'}}}}\n\
             remediate:\n  say: {{fixes: [always], command: {{argv: [sh, say.sh]}}, effect: {effect}, risk: safe}}\n"
        );
        let runbook = place("").file("playbooks/note.yaml", playbook).file("say.sh", PRINTS);
        let mut served = start(&runbook);
        served.alert(&["a"]).is(202);
        served.running.until("it has printed", || {
            std::fs::read_dir(runbook.state().join("live")).is_ok_and(|files| files.count() == 1)
        });
        let browser = Browser::sign_in(&served.client, &token("viewer"));
        let path = format!("/runs/{}", runbook.newest_run());
        served.running.until("it is on the page", || browser.get(&path).body.contains("line one"));
        let page = browser.get(&path).body;
        assert!(page.contains("Output of <code>remediate.say</code>, as it comes"), "{effect}: {page}");
        assert!(page.contains("&lt;b&gt;two&lt;/b&gt;") && !page.contains("token-of-viewer"), "{effect}: {page}");
        assert!(page.contains("data-every=\"2\"") && page.contains("data-events="), "{effect}: {page}");
        runbook.write("go", "");
        served.running.until("it has ended", || browser.get(&path).body.contains("✓</span> passed"));
        served.running.until("nothing is left there", || {
            std::fs::read_dir(runbook.state().join("live")).is_ok_and(|files| files.count() == 0)
        });
        assert!(browser.get(&path).body.contains("the end"), "it is among what the step has found");
    }
}
