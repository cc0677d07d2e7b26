//! TFRecord framing: length, masked CRC-32C of the length, bytes, masked CRC-32C of the bytes; little-endian.

use std::io::Write;

const MASK_DELTA: u32 = 0xa282_ead8;

/// CRC-32C, rotated and shifted so that a checksum over data that holds checksums stays sound.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(MASK_DELTA)
}

/// Appends one record.
pub(super) fn write(out: &mut impl Write, data: &[u8]) -> std::io::Result<()> {
    let length = (data.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked_crc(&length).to_le_bytes())?;
    out.write_all(data)?;
    out.write_all(&masked_crc(data).to_le_bytes())
}

/// Every record of a file, or what is wrong with the first bad one.
#[cfg(test)]
pub(super) fn read_all(mut bytes: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at_checked(8).ok_or("torn length")?;
        let (length_crc, rest) = rest.split_at_checked(4).ok_or("torn length checksum")?;
        if masked_crc(length).to_le_bytes() != length_crc {
            return Err("length checksum differs".into());
        }
        let count = u64::from_le_bytes(length.try_into().map_err(|_| "length")?);
        let (data, rest) = rest.split_at_checked(count as usize).ok_or("torn data")?;
        let (data_crc, rest) = rest.split_at_checked(4).ok_or("torn data checksum")?;
        if masked_crc(data).to_le_bytes() != data_crc {
            return Err("data checksum differs".into());
        }
        records.push(data);
        bytes = rest;
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_matches_known_bytes() {
        // CRC-32C of "123456789" is 0xe3069283 in every table of check values.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked_crc(b"123456789"), 0xc78a_b0e5);
        let mut out = Vec::new();
        write(&mut out, b"123456789").unwrap();
        assert_eq!(out.len(), 8 + 4 + 9 + 4);
        assert_eq!(&out[21..], &0xc78a_b0e5_u32.to_le_bytes());
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let mut out = Vec::new();
        write(&mut out, b"scalars").unwrap();
        assert_eq!(read_all(&out).unwrap(), vec![b"scalars".as_slice()]);
        for bit in 0..out.len() * 8 {
            let mut broken = out.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(read_all(&broken).is_err(), "bit {bit}");
        }
    }
}
