//! The zone of this machine.

use std::path::Path;

use chrono_tz::Tz;

/// The zone that the variable `TZ`, `/etc/localtime` or `/etc/timezone` names; UTC where none does.
pub fn system_time_zone() -> Tz {
    std::env::var("TZ")
        .ok()
        .and_then(|name| named(&name))
        .or_else(|| linked(&std::fs::read_link("/etc/localtime").ok()?))
        .or_else(|| named(&std::fs::read_to_string("/etc/timezone").ok()?))
        .unwrap_or(Tz::UTC)
}

fn named(text: &str) -> Option<Tz> {
    let name = text.trim().trim_start_matches(':');
    match Path::new(name) {
        path if path.is_absolute() => linked(path),
        _ => name.parse().ok(),
    }
}

fn linked(path: &Path) -> Option<Tz> {
    let path = path.to_str()?;
    let (_, name) = path.split_once("zoneinfo/")?;
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        assert_eq!(named("Asia/Shanghai\n"), Some(Tz::Asia__Shanghai));
        assert_eq!(
            named(":/usr/share/zoneinfo/Europe/Berlin"),
            Some(Tz::Europe__Berlin)
        );
        assert_eq!(
            linked(Path::new("../usr/share/zoneinfo/Etc/UTC")),
            Some(Tz::Etc__UTC)
        );
        assert_eq!(named("here"), None);
    }
}
