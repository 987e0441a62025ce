//! auditwatch: measures the kernel's audit backlog exactly.
//!
//! One way for data: probe -> wire types -> [`sample::Sample`] ->
//! [`timeline::Timeline`] -> render. The modules in the middle are pure, and
//! shared by live runs, replays and tests; ARCHITECTURE.md has the picture.

pub mod atomic_file;
pub mod audit_rule;
pub mod audit_status;
pub mod auditd;
pub mod bench;
pub mod by_hand;
pub mod change_report;
pub mod cli;
pub mod command_cost;
pub mod commands;
pub mod comparison;
pub mod container;
pub mod control;
pub mod diagnosis;
pub mod doctor;
pub mod filter_rule;
pub mod footprint;
pub mod health;
pub mod histogram;
pub mod host_rules;
pub mod journal;
pub mod journal_file;
pub mod kernel;
pub mod ledger;
pub mod load_guard;
pub mod loss;
pub mod memory;
pub mod model;
pub mod netlink;
pub mod netlink_question;
pub mod number;
pub mod plan;
pub mod poll;
pub mod preflight;
pub mod probe;
pub mod recommendation;
pub mod record_type;
pub mod recording;
pub mod relapse;
pub mod render;
pub mod report;
pub mod rescue_report;
pub mod rooted;
pub mod rules;
pub mod rules_edit;
pub mod rules_view;
pub mod sample;
pub mod search;
pub mod sleepers;
pub mod status;
pub mod storm;
pub mod taking_back;
pub mod talkers;
pub mod tasks;
pub mod timeline;
pub mod truth;
pub mod untrusted;
