//! Taking over an escalation from elsewhere than the machine of the journal: on a telephone, at a paging service.

use serde_json::{Value, json};

use super::chromium::{is_readable, tab_to, until};
use super::escalations::{escalation, ladder, link};
use super::pager::Pager;
use super::webdriver::{ENTER, Window, is_installed};
use super::{Answer, Client, start};

#[test]
#[expect(clippy::print_stderr, reason = "what is not here is told")]
fn the_page_of_a_link_is_read_on_a_telephone_in_the_dark_and_answered_by_keyboard_alone() {
    if !is_installed() {
        eprintln!("SKIPPED: the link of an escalation in a real browser; Debian has chromium and chromium-driver");
        return;
    }
    let pager = Pager::start();
    let runbook = ladder(&pager, "30m");
    runbook.call("run down").exits(1);
    let mut served = start(&runbook);
    let window = Window::open(&runbook);
    window.go(&format!("http://{}{}", served.client.address(), link(&pager)));
    until(&window, &mut served, "The <service> is down");
    is_readable(&window, "the page of a link");
    tab_to(&window, "name");
    window.press("Ada".chars());
    tab_to(&window, "I take over");
    assert_eq!(escalation(&served.client)["acknowledged"], json!(null), "nothing is done before");
    window.press([ENTER]);
    until(&window, &mut served, "by Ada (webhook:first)");
    is_readable(&window, "the page of a link that was answered");
    assert_eq!(escalation(&served.client)["acknowledged"]["by"], json!("Ada (webhook:first)"));
    assert_eq!(window.complaints(), Vec::<String>::new(), "the console");
}

/// What Opsgenie posts when somebody has done this to the alert of this key.
fn opsgenie(client: &Client, token: Option<&str>, action: &str, key: &str) -> Answer {
    let body = json!({"source": {"name": "", "type": "web"}, "action": action, "integrationId": "37c8f316",
        "alert": {"alertId": "052652ac", "alias": key, "message": "down", "username": "<b>Grace</b>@example.com",
            "createdAt": 1_420_452_191_104_i64, "updatedAt": 1_420_452_224_764_002_246_i64, "tags": []}});
    client.post("/hooks/og", token, &body)
}

#[test]
fn opsgenie_acknowledges_by_our_key_and_its_token() {
    for (action, by) in
        [("Acknowledge", "<b>Grace</b>@example.com"), ("Close", "<b>Grace</b>@example.com, who closed the alert")]
    {
        let pager = Pager::start();
        let runbook = ladder(&pager, "30m").variable("OG", "opsgenie-token");
        let hook = "  hooks:\n    og: {opsgenie: {token: {env: OG}}}\n";
        runbook.write("runbook.yaml", runbook.read("runbook.yaml").replace("  hooks:\n", hook));
        runbook.call("run down").exits(1);
        let page = link(&pager);
        let key = pager.to("first")["dedup_key"].as_str().expect("a key").to_owned();
        let served = start(&runbook);
        let client = &served.client;
        for stranger in [None, Some("another-token"), Some("pd-secret"), Some("")] {
            opsgenie(client, stranger, action, &key).is(401);
        }
        let known = Some("opsgenie-token");
        assert_eq!(opsgenie(client, known, action, "runbook:other:0").is(202).json()["acknowledged"], json!(0));
        for (other, alias) in [("Create", key.as_str()), ("AddNote", &key), ("UnAcknowledge", &key), (action, "other")]
        {
            let taken = opsgenie(client, known, other, alias).is(202).json();
            assert_eq!(taken.get("acknowledged"), None, "{other} {alias}: {taken}");
        }
        assert_eq!(escalation(client)["acknowledged"], Value::Null);
        assert_eq!(opsgenie(client, known, action, &key).is(202).json()["acknowledged"], json!(1));
        let answer = escalation(client)["acknowledged"].clone();
        assert_eq!((&answer["by"], &answer["way"]), (&json!(by), &json!("og")));
        assert_eq!(
            escalation(client)["closed"],
            Value::Null,
            "only a run or a person here says that the fault is gone"
        );
        let page = client.get(&page, None).is(200).body;
        assert!(page.contains("&lt;b&gt;Grace&lt;/b&gt;@example.com"), "{page}");
    }
}
