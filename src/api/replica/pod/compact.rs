//! The parts of a pod in few bytes: [`Moment`], [`Index`] and [`ReplicaName`].

use std::num::NonZeroU32;

use jiff::Timestamp;

/// A time or none, to the microsecond: finer than the API server tells any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(i64);

impl Moment {
    const NONE: Self = Self(i64::MIN);

    pub(super) fn of(time: Option<Timestamp>) -> Self {
        time.map_or(Self::NONE, |time| Self(time.as_microsecond()))
    }

    pub(super) fn time(self) -> Option<Timestamp> {
        if self == Self::NONE { None } else { Timestamp::from_microsecond(self.0).ok() }
    }
}

/// A small number or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Index(Option<NonZeroU32>);

impl Index {
    pub(super) fn of(number: Option<u32>) -> Self {
        Self(number.and_then(|number| NonZeroU32::new(number.checked_add(1)?)))
    }

    pub(super) fn get(self) -> Option<u32> {
        self.0.map(|number| number.get() - 1)
    }
}

/// The name of a pod's replica: nearly always what the pod's own begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReplicaName {
    /// So many bytes of the pod's name.
    Prefix(u32),
    Own(Box<str>),
}

impl ReplicaName {
    pub(super) fn of(replica: &str, pod: &str) -> Self {
        match u32::try_from(replica.len()) {
            Ok(length) if pod.starts_with(replica) => Self::Prefix(length),
            _ => Self::Own(replica.into()),
        }
    }

    pub(super) fn text<'a>(&'a self, pod: &'a str) -> &'a str {
        match self {
            // Longer than a name is no length.
            Self::Prefix(length) => {
                usize::try_from(*length).ok().and_then(|length| pod.get(..length)).unwrap_or(pod)
            }
            Self::Own(replica) => replica,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        let times =
            ["2026-11-21T10:00:00Z", "1969-12-31T23:59:59.5Z"].map(|text| text.parse().expect("a time"));
        for time in times.map(Some).into_iter().chain([None, Some(Timestamp::MIN)]) {
            let whole =
                time.map(|time| Timestamp::from_microsecond(time.as_microsecond()).expect("in range"));
            assert_eq!(Moment::of(time).time(), whole);
        }
        for number in [None, Some(0), Some(7), Some(u32::MAX - 1)] {
            assert_eq!(Index::of(number).get(), number);
        }
        for (replica, pod) in
            [("d-0", "d-0"), ("d-0", "d-0-1"), ("other", "d-0"), ("", "d-0"), ("d-0-1", "d-0")]
        {
            assert_eq!(ReplicaName::of(replica, pod).text(pod), replica);
        }
        assert_eq!(size_of::<ReplicaName>(), 16);
    }
}
