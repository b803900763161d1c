//! Test 55 of the reliability test plan: a plan asks the kernel for nothing that changes anything.

use runbook::playbook::registry;

use crate::support::Runbook;
use crate::tracing::{is_possible, tell, trace, traced};

/// Every call that starts, signals or reaches another program, or that changes a file or a name.
const CALLS: &str = "execve,connect,sendto,sendmsg,kill,tgkill,tkill,pidfd_send_signal,open,openat,creat,truncate,\
                     ftruncate,unlink,unlinkat,rmdir,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mkdir,\
                     mkdirat,mknod,mknodat,chmod,fchmod,fchmodat,chown,fchown,fchownat,utimensat,setxattr,mount";

/// Looks with every probe that needs nothing but this machine.
const LOOKS: &str = "
runbook: 1
name: everything
title: A remediation of every kind
detect: {any: {fault: {file: {path: fault}, holds: exists}}}
diagnose:
  seen_file: {file: {path: fault}}
  seen_disk: {disk: {path: .}}
  seen_memory: {memory: {}}
  seen_log: {log_scan: {file: app.log, pattern: error}}
  seen_sum: {checksum: {file: fault}}
remediate:
";

/// One remediation of each kind, as its example has it. What a whole playbook would fill in is made up.
fn playbook() -> String {
    let names = regex::Regex::new(r"\{\{[^}]*\}\}").expect("a pattern");
    let step = |kind: &runbook::kind::KindEntry| {
        let lines = kind.example.lines().map(|line| format!("    {line}\n")).collect::<String>();
        format!("  of_{}:\n{}", kind.name, names.replace_all(&lines, "made-up"))
    };
    format!("{LOOKS}{}", registry::kinds().map(step).collect::<String>())
}

/// What the call changes or reaches, if that is anything.
fn effect(line: &str) -> bool {
    let Some((_, call)) = line.split_once(' ') else { return false };
    let call = call.trim_start();
    if call.starts_with("open") {
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| call.contains(flag));
        return writes && !call.contains("\"/dev/null\"");
    }
    // What was not called, and what never came about because the program was there only to be looked for.
    !call.starts_with(['+', '-', '<'])
}

#[test]
fn t55_a_plan_of_every_kind_of_step_changes_nothing() {
    if !is_possible("test 55 (the system calls of a plan)") {
        return;
    }
    let place = Runbook::new().file("everything.yaml", playbook()).file("fault", "").file("app.log", "error\n");
    let plan = || {
        let options = ["-e", &format!("trace={CALLS}")];
        let done = traced(&place, &options, &["plan", "everything.yaml", "--format", "json"]).done().exits(0);
        let plan = done.events().pop().expect("a plan");
        let trace = trace(&place);
        // The first call is strace starting the program.
        let effects: Vec<&str> = trace.lines().skip(1).filter(|line| effect(line)).collect();
        assert!(effects.is_empty(), "a plan is for looking:\n{}", effects.join("\n"));
        (plan, trace.lines().count())
    };
    let (first, calls) = plan();
    let (second, _) = plan();
    // The same look at a run finds what it does.
    let options = ["-e", &format!("trace={CALLS}")];
    drop(traced(&place, &options, &["run", "everything.yaml"]).done());
    assert!(trace(&place).lines().skip(1).any(effect), "a run writes its journal");
    assert_eq!(first, second, "the same plan twice");
    let planned = first["steps"].as_array().expect("steps").len();
    let kinds = registry::kinds().count();
    assert_eq!(planned, kinds, "a remediation of every kind is planned");
    tell(&format!("test 55: {kinds} kinds planned, {calls} system calls looked at, 0 of them change anything"));
}
