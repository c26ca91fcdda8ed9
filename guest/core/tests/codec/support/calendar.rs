//! Dates and times of the vectors' texts.

/// Days since 1970-01-01, counted year by year.
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let leap = |y: i64| (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    let before_year = |y: i64| {
        let y = y - 1;
        365 * y + y / 4 - y / 100 + y / 400
    };
    let lengths = [
        31,
        if leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let before_month: i64 = lengths[..(month - 1) as usize].iter().sum();
    before_year(year) - before_year(1970) + before_month + day - 1
}

/// `yyyy-MM-dd`.
pub(crate) fn date(text: &str) -> i64 {
    let parts: Vec<i64> = text.split('-').map(|part| part.parse().unwrap()).collect();
    days(parts[0], parts[1], parts[2])
}

/// `yyyy-MM-dd HH:mm:ss[.f]`, also with `T` and `Z`: seconds and nanoseconds.
pub(crate) fn timestamp(text: &str) -> (i64, i32) {
    let text = text.trim_end_matches('Z');
    let (day, time) = text.split_once(['T', ' ']).unwrap();
    let (seconds, nanoseconds) = time_of_day(time);
    (date(day) * 86_400 + seconds, nanoseconds)
}

/// `HH:mm:ss[.f]`.
pub(crate) fn time_of_day(text: &str) -> (i64, i32) {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<i64> = clock.split(':').map(|part| part.parse().unwrap()).collect();
    let nanoseconds: i32 = format!("{fraction:0<9}").parse().unwrap();
    (parts[0] * 3_600 + parts[1] * 60 + parts[2], nanoseconds)
}
