//! Taking over an escalation from elsewhere than the machine of the journal: on a telephone.

use serde_json::json;

use super::chromium::{is_readable, tab_to, until};
use super::escalations::{escalation, ladder, link};
use super::pager::Pager;
use super::start;
use super::webdriver::{ENTER, Window, is_installed};

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
