//! Amounts in Kubernetes' notation: read, added up, and written as an API server would write them, so
//! that what was written is what is read back.

/// An amount in thousand-millionths, so that nothing of it is lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Amount(i128);

/// In which steps an amount is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notation {
    /// Powers of 1,000, and thousandths.
    Decimal,
    /// Powers of 1,024; what is less than one of them is dropped.
    Binary,
}

const ONE: i128 = 1_000_000_000;
const DECIMAL: &[(&str, i128)] = &[
    ("E", ONE * 1_000_000_000_000_000_000),
    ("P", ONE * 1_000_000_000_000_000),
    ("T", ONE * 1_000_000_000_000),
    ("G", ONE * 1_000_000_000),
    ("M", ONE * 1_000_000),
    ("k", ONE * 1_000),
    ("", ONE),
    ("m", ONE / 1_000),
    ("u", ONE / 1_000_000),
    ("n", 1),
];
const BINARY: &[(&str, i128)] = &[
    ("Ei", ONE << 60),
    ("Pi", ONE << 50),
    ("Ti", ONE << 40),
    ("Gi", ONE << 30),
    ("Mi", ONE << 20),
    ("Ki", ONE << 10),
];

impl Amount {
    /// This many.
    pub(crate) fn whole(count: u32) -> Self {
        Self(i128::from(count) * ONE)
    }

    /// Reads an amount; none if it is not one, or too large to be true.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c));
        let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
        let unit = match suffix {
            "" => ONE,
            suffix => {
                let mut known = BINARY.iter().chain(DECIMAL);
                match known.find(|(name, _)| *name == suffix) {
                    Some((_, unit)) => *unit,
                    None => power_of_ten(suffix)?,
                }
            }
        };
        let (sign, digits) = match number.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.len() > 18 {
            return None;
        }
        let read = |text: &str| match text {
            "" => Some(0),
            text if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse::<i128>().ok(),
            _ => None,
        };
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let parts = read(fraction)?.checked_mul(unit)? / scale;
        let amount = read(whole)?.checked_mul(unit)?.checked_add(parts)?;
        Some(Self(sign * amount))
    }

    /// Both together.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left of it, which is never less than nothing.
    #[must_use]
    pub(crate) fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }

    /// As an API server writes it: the largest unit that divides it.
    pub(crate) fn write(self, notation: Notation) -> String {
        let (units, least) = match notation {
            Notation::Decimal => (DECIMAL, 1),
            Notation::Binary => (BINARY, ONE << 10),
        };
        let amount = self.0 - self.0 % least;
        let unit = units.iter().find(|(_, unit)| amount % unit == 0);
        match unit {
            Some((name, unit)) if amount != 0 => format!("{}{name}", amount / unit),
            _ => "0".to_owned(),
        }
    }
}

/// `e3` and `E3` are thousands.
fn power_of_ten(suffix: &str) -> Option<i128> {
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = u32::try_from(power.checked_add(9)?).ok()?;
    10_i128.checked_pow(power)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::cores("4", Notation::Decimal, "4")]
    #[case::half_a_core("0.5", Notation::Decimal, "500m")]
    #[case::thousandths("1500m", Notation::Decimal, "1500m")]
    #[case::millionths("250u", Notation::Decimal, "250u")]
    #[case::whole_thousandths("2000m", Notation::Decimal, "2")]
    #[case::thousands("110000", Notation::Decimal, "110k")]
    #[case::by_power("12e3", Notation::Decimal, "12k")]
    #[case::memory("8388608Ki", Notation::Binary, "8Gi")]
    #[case::odd_memory("8136629Ki", Notation::Binary, "8136629Ki")]
    #[case::bytes("1500", Notation::Binary, "1Ki")]
    #[case::fractions("1.5Gi", Notation::Binary, "1536Mi")]
    #[case::megabytes("128M", Notation::Binary, "125000Ki")]
    #[case::nothing("0", Notation::Binary, "0")]
    #[case::exabytes("2E", Notation::Decimal, "2E")]
    fn amounts_are_written_as_a_server_would(
        #[case] text: &str,
        #[case] notation: Notation,
        #[case] expected: &str,
    ) {
        assert_eq!(Amount::parse(text).unwrap().write(notation), expected);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::a_word("lots")]
    #[case::an_unknown_unit("5Xi")]
    #[case::two_points("1.2.3")]
    #[case::a_sign_within("1-2")]
    #[case::a_point(".")]
    #[case::too_much("9e99")]
    fn what_is_no_amount_is_refused(#[case] text: &str) {
        assert_eq!(Amount::parse(text), None);
    }

    #[test]
    fn there_is_never_less_than_nothing() {
        let (one, two) = (Amount::whole(1), Amount::whole(2));
        assert_eq!(one.plus(one), two);
        assert_eq!(two.less(one), one);
        assert_eq!(one.less(two), Amount::default());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9.eEKi+-]{0,40}") {
            let _ = Amount::parse(&text);
        }

        #[test]
        fn what_was_written_reads_back(amount in 0..i128::from(u64::MAX)) {
            let amount = Amount(amount);
            prop_assert_eq!(Amount::parse(&amount.write(Notation::Decimal)), Some(amount));
        }
    }
}
