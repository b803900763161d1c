//! Every figure: its name, its help, its labels. Names and units follow the rules of Prometheus and OpenMetrics.

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// A step takes from a millisecond (a file) to the better part of an hour (a download, a drain).
const STEP_SECONDS: [f64; 12] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0];

/// A sync takes from a tenth of a millisecond (flash with a capacitor) to seconds (a disk that is dying).
const WRITE_SECONDS: [f64; 12] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Every figure of the server.
#[derive(Debug)]
pub struct Families {
    pub(super) registry: Registry,
    pub(super) runs_started: IntCounterVec,
    pub(super) runs: IntCounterVec,
    pub(super) escalations: IntCounterVec,
    pub(super) step_seconds: HistogramVec,
    pub(super) notifications: IntCounterVec,
    pub(super) notification_attempts: IntCounterVec,
    pub(super) accepted: IntCounterVec,
    pub(super) begun: IntCounterVec,
    pub(super) not_run: IntCounterVec,
    pub(super) broken_off: IntCounterVec,
    pub(super) hook_requests: IntCounterVec,
    pub(super) alerts: IntCounterVec,
    pub(super) append_seconds: Histogram,
    pub(super) write_seconds: Histogram,
    pub(super) append_failures: IntCounter,
    pub(super) missed_ticks: IntCounterVec,
    pub(super) runs_live: IntGaugeVec,
    pub(super) queue: IntGaugeVec,
    pub(super) queue_limit: IntGauge,
    pub(super) queue_oldest: Gauge,
    pub(super) approvals: IntGauge,
    pub(super) approval_oldest: Gauge,
    pub(super) breakers: IntGauge,
    pub(super) frozen: IntGauge,
    pub(super) playbooks: IntGauge,
    pub(super) broken_playbooks: IntGauge,
    pub(super) reload_refused: IntGauge,
    pub(super) timers: IntGaugeVec,
    pub(super) healthy: IntGaugeVec,
    pub(super) build: IntGaugeVec,
    pub(super) started: Gauge,
}

impl Families {
    #[rustfmt::skip]
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let all = Registering(&registry);
        Families {
            runs_started: all.counters("runbook_runs_started_total", "Runs that began, without those that other runs called.", &["playbook"]),
            runs: all.counters("runbook_runs_total", "Runs that ended, by outcome, without those that other runs called. One that waits for a person has not ended.", &["playbook", "outcome"]),
            escalations: all.counters("runbook_escalations_total", "Escalations that runs raised.", &["playbook"]),
            step_seconds: all.histograms("runbook_step_duration_seconds", "Time from the first attempt of a step to its end, by kind and outcome.", &["kind", "outcome"], &STEP_SECONDS),
            notifications: all.counters("runbook_notifications_total", "Messages to people, by channel and whether they were delivered in the end.", &["channel", "result"]),
            notification_attempts: all.counters("runbook_notification_attempts_total", "Attempts to deliver messages, by channel.", &["channel"]),
            accepted: all.counters("runbook_triggers_accepted_total", "Events that ask for a run and are kept: alerts, schedules, watches, people by the API.", &["playbook"]),
            begun: all.counters("runbook_triggers_started_total", "Accepted events whose run was started.", &["playbook"]),
            not_run: all.counters("runbook_triggers_not_run_total", "Accepted events that started no run of their own: joined to one that waited, skipped, or cancelled.", &["playbook", "reason"]),
            broken_off: all.counters("runbook_runs_broken_off_total", "Started runs that could not begin or could not go on.", &["playbook"]),
            hook_requests: all.counters("runbook_hook_requests_total", "Requests to hooks, by the status of the answer.", &["hook", "status"]),
            alerts: all.counters("runbook_alerts_received_total", "Alerts in the requests to hooks that were understood.", &["hook"]),
            append_seconds: all.histogram("runbook_journal_append_duration_seconds", "Time from handing events to the journal until they are durable."),
            write_seconds: all.histogram("runbook_journal_sync_duration_seconds", "Time that the one transaction of a group of appends takes, its sync included."),
            append_failures: all.counter("runbook_journal_append_failures_total", "Appends to the journal that failed."),
            missed_ticks: all.counters("runbook_schedule_missed_ticks_total", "Ticks of schedules that nobody was there for and that did not run, since the schedule is known.", &["playbook"]),
            runs_live: all.gauges("runbook_runs_live", "Runs of this server that have not ended: those that go on, and those that wait for a person.", &["state"]),
            queue: all.gauges("runbook_queue_length", "Accepted events whose run has not started: held until a time, or queued for a place.", &["state"]),
            queue_limit: all.gauge("runbook_queue_limit", "Accepted events that may wait; further ones are told to come again."),
            queue_oldest: all.seconds("runbook_queue_oldest_age_seconds", "Age of the oldest event that waits for a place; 0 when none does."),
            approvals: all.gauge("runbook_approvals_waiting", "Steps that wait for the approval of a person."),
            approval_oldest: all.seconds("runbook_approval_oldest_age_seconds", "Time since the oldest of them was asked for; 0 when none is."),
            breakers: all.gauge("runbook_breakers_open", "Budgets that are spent: their playbook changes nothing for that target."),
            frozen: all.gauge("runbook_frozen", "1 while everything is frozen."),
            playbooks: all.gauge("runbook_playbooks", "Playbooks in use."),
            broken_playbooks: all.gauge("runbook_playbooks_invalid", "Playbook files that are not valid; the last good one of each is still in use."),
            reload_refused: all.gauge("runbook_reload_refused", "1 when the site file was read again and not taken, so that everything is as it was before."),
            timers: all.gauges("runbook_timers", "Schedules and watches: armed, broken (they start nothing), or held back (a watch that changes too often).", &["state"]),
            healthy: all.gauges("runbook_healthy", "1 while the part of the server works, as GET /health tells.", &["part"]),
            build: all.gauges("runbook_build_info", "1, with the version.", &["version"]),
            started: all.seconds("runbook_process_start_time_seconds", "When the server started, in seconds since 1970."),
            registry: registry.clone(),
        }
    }
}

/// Makes families and registers them.
struct Registering<'r>(&'r Registry);

impl Registering<'_> {
    fn with<C: Collector + Clone + 'static>(&self, family: prometheus::Result<C>) -> C {
        // Names and labels are the constants above; a test makes them once.
        let family = family.expect("the constants above are names of the format");
        self.0.register(Box::new(family.clone())).expect("the constants above are different names");
        family
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.with(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.with(IntCounter::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.with(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.with(IntGauge::new(name, help))
    }

    fn seconds(&self, name: &str, help: &str) -> Gauge {
        self.with(Gauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str) -> Histogram {
        self.with(Histogram::with_opts(HistogramOpts::new(name, help).buckets(WRITE_SECONDS.to_vec())))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        self.with(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }
}
