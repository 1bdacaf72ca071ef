use super::*;

const BERLIN: &str = "Europe/Berlin";

fn at(time: &str) -> u64 {
    millis(time.parse().unwrap()).unwrap()
}

fn said(unix_ms: u64) -> String {
    let unix_ms = i64::try_from(unix_ms).unwrap();
    Timestamp::from_millisecond(unix_ms).unwrap().to_string()
}

/// The next times after one.
fn next(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let cron = Cron::parse(cron, zone).unwrap();
    let times = std::iter::successors(cron.next_after(at(after)), |time| cron.next_after(*time));
    times.take(count).map(said).collect()
}

fn last(cron: &str, zone: &str, until: &str) -> String {
    let cron = Cron::parse(cron, zone).unwrap();
    said(cron.last_until(at(until)).unwrap())
}

#[test]
fn times_are_those_of_the_zones_clocks() {
    let times = next("0 3 * * *", BERLIN, "2026-11-28T12:00:00Z", 2);
    assert_eq!(times, ["2026-11-29T02:00:00Z", "2026-11-30T02:00:00Z"]);
    let times = next("0 3 * * *", "UTC", "2026-11-28T12:00:00Z", 1);
    assert_eq!(times, ["2026-11-29T03:00:00Z"]);
    let times = next(
        "30 9 * * mon-fri",
        "Asia/Kolkata",
        "2026-11-27T12:00:00Z",
        1,
    );
    assert_eq!(times, ["2026-11-30T04:00:00Z"]);
}

#[test]
fn the_next_time_is_after_and_the_last_one_may_be_now() {
    let due = "2026-11-29T02:00:00Z";
    let before = "2026-11-29T01:59:59.999Z";
    assert_eq!(next("0 3 * * *", BERLIN, before, 1), [due]);
    assert_eq!(next("0 3 * * *", BERLIN, due, 1), ["2026-11-30T02:00:00Z"]);
    assert_eq!(last("0 3 * * *", BERLIN, due), due);
    assert_eq!(last("0 3 * * *", BERLIN, before), "2026-11-28T02:00:00Z");
    assert_eq!(last("0 3 * * *", BERLIN, "2026-11-29T23:00:00.5Z"), due);
}

#[test]
fn a_time_that_spring_leaves_out_comes_at_the_end_of_the_gap() {
    let times = next("30 2 * * *", BERLIN, "2026-03-28T12:00:00Z", 2);
    assert_eq!(times, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    for until in ["2026-03-29T01:00:00Z", "2026-03-29T05:00:00Z"] {
        assert_eq!(last("30 2 * * *", BERLIN, until), "2026-03-29T01:00:00Z");
    }
    assert_eq!(
        last("30 2 * * *", BERLIN, "2026-03-29T00:59:59Z"),
        "2026-03-28T01:30:00Z"
    );
}

#[test]
fn a_time_that_autumn_shows_twice_comes_once() {
    let times = next("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 2);
    assert_eq!(times, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    // 02:15 and 02:45 after the clocks went back.
    for until in ["2026-10-25T01:15:00Z", "2026-10-25T01:45:00Z"] {
        let first = "2026-10-25T00:30:00Z";
        assert_eq!(last("30 2 * * *", BERLIN, until), first, "{until}");
        let times = next("30 2 * * *", BERLIN, until, 1);
        assert_eq!(times, ["2026-10-26T01:30:00Z"], "{until}");
    }
}

#[test]
fn so_it_is_with_several_times_a_day() {
    let times = next("30 2,14 * * *", BERLIN, "2026-03-28T20:00:00Z", 2);
    assert_eq!(times, ["2026-03-29T01:00:00Z", "2026-03-29T12:30:00Z"]);
    let times = next("30 2,14 * * *", BERLIN, "2026-10-24T20:00:00Z", 2);
    assert_eq!(times, ["2026-10-25T00:30:00Z", "2026-10-25T13:30:00Z"]);
    // All that is left out is one time.
    let times = next("*/20 2 * * *", BERLIN, "2026-03-28T20:00:00Z", 2);
    assert_eq!(times, ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]);
}

#[test]
fn what_comes_every_hour_comes_every_hour_that_passes() {
    let hours = |date: &str| ["00", "01", "02"].map(|hour| format!("{date}T{hour}:00:00Z"));
    for cron in ["@hourly", "0 * * * *", "0 0-23 * * *"] {
        for date in ["2026-03-29", "2026-10-25"] {
            let times = next(cron, BERLIN, &format!("{date}T00:00:00Z"), 2);
            assert_eq!(times, hours(date)[1..], "{cron}");
            let until = format!("{date}T02:59:59Z");
            assert_eq!(last(cron, BERLIN, &until), hours(date)[2], "{cron}");
        }
    }
}

#[test]
fn next_and_last_agree_around_changes_of_the_clock() {
    const MINUTE: u64 = 60_000;
    let changes = [
        (BERLIN, "2026-03-29T01:00:00Z"),
        (BERLIN, "2026-10-25T01:00:00Z"),
        // Half an hour.
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        // A whole day was left out.
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ];
    for (zone, change) in changes {
        for cron in ["30 2 * * *", "*/7 1,2 * * *", "15 * * * *", "0 0 30 * *"] {
            let times = Cron::parse(cron, zone).unwrap();
            let change = at(change);
            let looks = (change - 1_500 * MINUTE..change + 1_500 * MINUTE).step_by(17 * 60_000);
            for now in looks.chain([change - 1, change, change + 1]) {
                let next = times.next_after(now).unwrap();
                let last = times.last_until(now).unwrap();
                let of = format!("{cron} of {zone} at {}", said(now));
                assert!(last <= now && now < next, "{of}");
                assert_eq!(times.next_after(last), Some(next), "{of}");
                assert_eq!(times.last_until(next), Some(next), "{of}");
                assert_eq!(times.last_until(next - 1), Some(last), "{of}");
            }
        }
    }
}

#[test]
fn rare_days_come() {
    let times = next("0 0 29 2 *", "UTC", "2026-03-01T00:00:00Z", 2);
    assert_eq!(times, ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
    let fifth_friday = next("0 0 * 2 5#5", "UTC", "2026-03-01T00:00:00Z", 1);
    assert_eq!(fifth_friday, ["2036-02-29T00:00:00Z"]);
    let last_day = next("0 0 L * *", "UTC", "2026-02-01T00:00:00Z", 1);
    assert_eq!(last_day, ["2026-02-28T00:00:00Z"]);
}

#[test]
fn words_stand_for_fields() {
    let of = |cron: &str| next(cron, "UTC", "2026-11-30T21:35:14Z", 1);
    assert_eq!(of("@hourly"), ["2026-11-30T22:00:00Z"]);
    assert_eq!(of("@daily"), ["2026-12-01T00:00:00Z"]);
    assert_eq!(of("@weekly"), ["2026-12-06T00:00:00Z"]);
    assert_eq!(of("@monthly"), ["2026-12-01T00:00:00Z"]);
    assert_eq!(of("@yearly"), ["2027-01-01T00:00:00Z"]);
}

#[test]
fn what_is_not_five_fields_is_refused() {
    let long = format!("{} 3 * * *", "0,".repeat(60));
    for cron in [
        "",
        "0 3 * *",
        "0 0 3 * * *",
        "0 0 3 * * * 2026",
        " 0 3 * * *",
        "0 3 * * * ",
        "0\t3 * * *",
        "0 3 * * *\n",
        "@reboot",
        "@annually",
        "@DAILY",
        "@daily @daily",
        "0 3 * * é",
        long.as_str(),
    ] {
        let error = Cron::parse(cron, "UTC").unwrap_err();
        assert_eq!(error, CronError::Fields, "{cron:?}");
    }
}

#[test]
fn a_field_that_says_what_it_cannot_is_refused_in_words() {
    for cron in [
        "60 * * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 * 13 *",
        "0 0 * * 8",
        "*/0 * * * *",
        "5/10 * * * *",
        "5-1 * * * *",
        "99999999 * * * *",
        "a * * * *",
        "+1 * * * *",
    ] {
        let error = Cron::parse(cron, "UTC").unwrap_err();
        assert!(matches!(error, CronError::Field { .. }), "{cron}: {error}");
        assert!(error.to_string().ends_with(messages::CRON), "{error}");
    }
}

#[test]
fn what_never_comes_is_refused_and_not_looked_for() {
    for cron in [
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        ", * * * *",
        "0 , * * *",
        "0 0 * , *",
        "0 0 * * ,",
    ] {
        let error = Cron::parse(cron, "UTC").unwrap_err();
        assert_eq!(error, CronError::Never, "{cron}");
    }
}

#[test]
fn a_zone_is_one_that_has_a_name() {
    for zone in [
        "UTC",
        "Etc/UTC",
        "Europe/Berlin",
        "America/Argentina/Ushuaia",
    ] {
        assert!(Cron::parse("@daily", zone).is_ok(), "{zone}");
    }
    for zone in [
        "",
        "CET+1",
        "+01:00",
        "Europe/Nowhere",
        "Etc/Unknown",
        "../UTC",
    ] {
        let error = Cron::parse("@daily", zone).unwrap_err();
        let expected = CronError::Zone {
            name: zone.to_owned(),
        };
        assert_eq!(error, expected, "{zone:?}");
    }
}
