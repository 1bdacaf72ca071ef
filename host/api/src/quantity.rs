//! Kubernetes quantities as numbers.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use thiserror::Error;

/// A quantity that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no quantity: write it like \"512Mi\", \"1Gi\" or \"500m\"")]
pub struct QuantityError(pub String);

/// Thousandths of the quantity, rounded up, so that `500m` is 500 and `1` is 1000.
pub fn millis(quantity: &Quantity) -> Result<u128, QuantityError> {
    parse(&quantity.0).ok_or_else(|| QuantityError(quantity.0.chars().take(64).collect()))
}

/// The quantity in whole units (bytes, for memory and storage), rounded up.
pub fn units(quantity: &Quantity) -> Result<u64, QuantityError> {
    millis(quantity).and_then(|m| {
        u64::try_from(m.div_ceil(1000)).map_err(|_| QuantityError(quantity.0.clone()))
    })
}

fn parse(text: &str) -> Option<u128> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(split)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty())
        || whole.len() > 18
        || fraction.len() > 9
        || fraction.contains('.')
    {
        return None;
    }
    // The number is `digits / 10^fraction.len()`; its suffix is `factor / 1000 thousandths`.
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let (multiplier, divisor) = factor(suffix)?;
    Some(
        digits
            .checked_mul(multiplier)?
            .div_ceil(scale.checked_mul(divisor)?),
    )
}

/// Thousandths that a suffix stands for, as a fraction.
fn factor(suffix: &str) -> Option<(u128, u128)> {
    let power = |base: u128, exponent: u32| base.checked_pow(exponent)?.checked_mul(1000);
    let whole = match suffix {
        "n" => return Some((1, 1_000_000)),
        "u" => return Some((1, 1000)),
        "m" => Some(1),
        "" => Some(1000),
        "k" => power(1000, 1),
        "M" => power(1000, 2),
        "G" => power(1000, 3),
        "T" => power(1000, 4),
        "P" => power(1000, 5),
        "E" => power(1000, 6),
        "Ki" => power(1024, 1),
        "Mi" => power(1024, 2),
        "Gi" => power(1024, 3),
        "Ti" => power(1024, 4),
        "Pi" => power(1024, 5),
        "Ei" => power(1024, 6),
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E'])?;
            let number: i32 = digits.parse().ok()?;
            let size = 10_u128.checked_pow(number.unsigned_abs())?;
            return if number < 0 {
                Some((1000, size))
            } else {
                Some((size.checked_mul(1000)?, 1))
            };
        }
    };
    whole.map(|multiplier| (multiplier, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_the_value_that_kubernetes_gives_them() {
        for (text, want) in [
            ("0", 0),
            ("1", 1000),
            ("500m", 500),
            ("0.5", 500),
            (".5", 500),
            ("1.", 1000),
            ("1k", 1_000_000),
            ("1Ki", 1_024_000),
            ("512Mi", 536_870_912_000),
            ("1.5Gi", 1_610_612_736_000),
            ("1e3", 1_000_000),
            ("5E-1", 500),
            ("1n", 1),
            ("1500u", 2),
        ] {
            assert_eq!(millis(&Quantity(text.into())), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "",
            ".",
            "-1",
            "+1",
            "1 Gi",
            "1gi",
            "Gi",
            "1.2.3",
            "0x10",
            "1e",
            "1e99",
            "1234567890123456789012",
        ] {
            assert!(millis(&Quantity(text.into())).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_rounded_up() {
        assert_eq!(units(&Quantity("1500m".into())), Ok(2));
        assert_eq!(units(&Quantity("1Gi".into())), Ok(1 << 30));
    }
}
