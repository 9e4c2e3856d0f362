//! Days of the calendar, in UTC.

use std::fmt;
use std::time::SystemTime;

use chrono::{DateTime, NaiveDate, Utc};

/// A day. Later days are larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(NaiveDate);

impl Date {
    /// Reads `2027-01-31`, exactly so written; none for a day that does not exist.
    pub fn parse(text: &str) -> Option<Self> {
        let day = Self(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?);
        // Years beyond four digits have a sign.
        (text.len() == 10 && day.to_string() == text).then_some(day)
    }

    /// The day of a moment.
    pub fn of(time: SystemTime) -> Self {
        Self(DateTime::<Utc>::from(time).date_naive())
    }

    /// Today.
    pub fn today() -> Self {
        Self::of(SystemTime::now())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn only_days_that_exist_are_dates() {
        for good in ["2027-01-31", "2028-02-29", "2000-02-29", "0001-12-01"] {
            assert_eq!(Date::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "2027-1-31",
            "2027-02-29",
            "1900-02-29",
            "2027-04-31",
            "2027-13-01",
            "2027-00-10",
            "2027-01-00",
            "31-01-2027",
            "2027/01/31",
            "2027-01-31 ",
            "+027-01-31",
            "２０２７-01",
            "tomorrow",
            "+12027-01-31",
            "-0001-01-31",
        ] {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn days_are_in_order_and_moments_have_theirs() {
        let date = |text| Date::parse(text).unwrap();
        assert!(date("2026-12-31") < date("2027-01-01") && date("2027-01-31") < date("2027-02-01"));
        let at = |s| Date::of(UNIX_EPOCH + Duration::from_secs(s)).to_string();
        assert_eq!((at(0).as_str(), at(951_782_400).as_str()), ("1970-01-01", "2000-02-29"));
        assert_eq!(at(1_767_225_599), "2025-12-31");
    }
}
