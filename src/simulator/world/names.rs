//! What things are called: as in a shop that has grown for years, not as in a test.

/// Where the data centres are: their names, and the three letters in the names of their hosts.
pub(super) const PLACES: [(&str, &str); 4] =
    [("Frankfurt", "fra"), ("Rotterdam", "rtm"), ("München", "muc"), ("東京", "tyo")];

/// What clusters are for, and whether DRS moves machines there by itself.
pub(super) const CLUSTERS: [(&str, bool); 6] =
    [("PROD-01", true), ("DB-01", false), ("TEST-01", true), ("DMZ-01", true), ("VDI-01", true), ("PROD-02", true)];

/// Folders of machines.
pub(super) const FOLDERS: [&str; 5] = ["Production", "Test & Staging", "Infrastructure", "Büro Köln", "Templates"];

/// Applications, and the parts that they run on.
const APPS: [(&str, &[&str]); 20] = [
    ("erp", &["db", "app", "web"]),
    ("shop", &["web", "web", "db", "cache", "mq"]),
    ("crm", &["app", "db"]),
    ("mail", &["mx", "store"]),
    ("ldap", &["dc"]),
    ("dns", &["srv"]),
    ("git", &["srv", "runner"]),
    ("ci", &["runner", "runner", "cache"]),
    ("mon", &["srv", "db"]),
    ("log", &["ingest", "index", "index"]),
    ("dwh", &["db", "etl"]),
    ("hr", &["app", "db"]),
    ("wiki", &["web"]),
    ("vpn", &["gw"]),
    ("print", &["srv"]),
    ("pki", &["ca"]),
    ("bi", &["web", "etl"]),
    ("backup", &["proxy"]),
    ("k8s", &["cp", "node", "node", "node"]),
    ("payroll", &["app", "db"]),
];

/// Names that somebody typed by hand once. XML must escape some of them, and not all are ASCII.
const ODD: [&str; 6] =
    ["R&D-build-01", "Büro-Köln-fs-01", "経理-db-01", "temp <do not delete>", "Müller's test VM", "old_\"web\"_01"];

/// One in so many machines has an odd name.
const ODD_EVERY: usize = 17;

/// Guests: `guestId` and full name.
pub(super) const GUESTS: [(&str, &str); 5] = [
    ("rhel8_64Guest", "Red Hat Enterprise Linux 8 (64-bit)"),
    ("ubuntu64Guest", "Ubuntu Linux (64-bit)"),
    ("windows2019srv_64Guest", "Microsoft Windows Server 2019 (64-bit)"),
    ("debian11_64Guest", "Debian GNU/Linux 11 (64-bit)"),
    ("sles15_64Guest", "SUSE Linux Enterprise 15 (64-bit)"),
];

/// What people write into the notes of a machine.
pub(super) const NOTES: [&str; 6] = [
    "",
    "Owner: platform team. Reboot only on Sundays.",
    "Öffnungszeiten beachten, Rücksprache mit Hr. Jäger & Fr. Weiß",
    "Backup <daily>, keep 30 days",
    "監視対象外",
    "Ticket 4711: memory raised for the year's end",
];

/// People, and what acts on their behalf.
pub(super) const USERS: [&str; 8] = [
    "VSPHERE.LOCAL\\Administrator",
    "CORP\\a.berger",
    "CORP\\m.jäger",
    "CORP\\k.tanaka",
    "CORP\\svc-backup",
    "CORP\\svc-deploy",
    "CORP\\o.nowak",
    "VSPHERE.LOCAL\\vpxd-extension-5f1c9a02",
];

/// Who logs in, from where, and with what.
pub(super) const VISITORS: [(usize, &str, &str); 6] = [
    (0, "10.20.0.15", "VMware vim-java 1.0"),
    (1, "10.20.4.77", "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"),
    (2, "10.20.4.102", "PowerCLI/13.1"),
    (4, "10.20.1.9", "backup-proxy/12.1"),
    (5, "10.20.1.31", "Go-http-client/1.1"),
    (7, "127.0.0.1", "VMware-client/8.0.2"),
];

/// Alarms that are defined at the root.
pub(super) const ALARMS: [&str; 6] = [
    "Virtual machine CPU usage",
    "Virtual machine memory usage",
    "Host CPU usage",
    "Host connection and power state",
    "Datastore usage on disk",
    "Virtual machine snapshot size > 20 GB",
];

/// Who does what vCenter does by itself.
pub(super) const SYSTEM: &str = "System";

/// The name of machine number `at`, and which folder it lies in. Odd names come once, then numbered ones.
pub(super) fn machine(at: usize) -> (String, usize) {
    if at % ODD_EVERY == ODD_EVERY - 1 {
        let odd = at / ODD_EVERY;
        let round = odd / ODD.len();
        let name = ODD[odd % ODD.len()];
        return (if round == 0 { name.to_owned() } else { format!("{name} {}", round + 1) }, 3);
    }
    let at = at - at / ODD_EVERY;
    let flat: usize = APPS.iter().map(|(_, parts)| parts.len()).sum();
    let (mut left, round) = (at % flat, at / flat);
    for (place, (app, parts)) in APPS.iter().enumerate() {
        if let Some(part) = parts.get(left) {
            let same = parts.iter().filter(|other| *other == part).count();
            let before = parts[..left].iter().filter(|other| *other == part).count();
            let folder =
                if round % 3 == 2 { 1 } else { usize::from(matches!(place, 4 | 5 | 8 | 9 | 13..=15 | 17)) * 2 };
            return (format!("{app}-{part}-{:02}", round * same + before + 1), folder);
        }
        left -= parts.len();
    }
    (format!("vm-{at}"), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_machines_have_one_name() {
        let names: HashSet<_> = (0..20_000).map(|at| machine(at).0).collect();
        assert_eq!(names.len(), 20_000);
        assert_eq!(machine(0).0, "erp-db-01");
    }
}
