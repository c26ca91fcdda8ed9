//! The rows of a block or pack: a decoder of its own for the two columns that all tables have.

/// One row as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) text: Option<String>,
    /// The row with this key is to go.
    pub(crate) delete: bool,
}

/// Field numbers of the frame; those of hidden columns follow the two columns of the table.
const OPERATION: u64 = 5;
const UPDATED_COLUMNS: u64 = 7;
const END_OF_RECORD: u64 = 33_553_408;
const COUNT: u64 = 33_554_430;
const CHECKSUM: u64 = 33_554_431;
/// Operation `D`, the other is `U`.
const DELETE: i64 = 68;

/// Reads a record stream of `(id bigint, text string)`; why not, where it is damaged.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Row>, String> {
    let mut reader = Reader { bytes, at: 0 };
    let mut rows = Vec::new();
    let (mut id, mut text, mut delete) = (None, None, false);
    while reader.at < bytes.len() {
        let field = reader.varint()? >> 3;
        match field {
            1 => id = Some(reader.signed()?),
            2 => {
                let length = reader.varint()? as usize;
                text = Some(reader.text(length)?);
            }
            OPERATION => delete = reader.signed()? == DELETE,
            UPDATED_COLUMNS => {
                for _ in 0..reader.varint()? {
                    // Whether it is NULL, then the column's number.
                    reader.varint()?;
                    reader.varint()?;
                }
            }
            END_OF_RECORD => {
                reader.varint()?;
                rows.push(Row {
                    id: id.take().ok_or("a row without id")?,
                    text: text.take(),
                    delete: std::mem::take(&mut delete),
                });
            }
            COUNT => {
                let count = reader.signed()?;
                if usize::try_from(count) != Ok(rows.len()) {
                    return Err(format!("{} rows, {count} announced", rows.len()));
                }
            }
            CHECKSUM => {
                reader.varint()?;
            }
            other => return Err(format!("field {other}")),
        }
    }
    Ok(rows)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or("a number is cut off")?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number is too long".to_owned())
    }

    fn signed(&mut self) -> Result<i64, String> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn text(&mut self, length: usize) -> Result<String, String> {
        let bytes = self
            .bytes
            .get(self.at..self.at + length)
            .ok_or("a text is cut off")?;
        self.at += length;
        String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string())
    }
}
