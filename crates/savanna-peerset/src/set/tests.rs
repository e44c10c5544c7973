#![allow(clippy::cast_possible_truncation, reason = "a test's numbers are small")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test says what it expects of few kinds")]

mod announcing;
mod bounds;
mod fair;
mod lists;
mod model;
mod routing;
mod trust;
mod world;
