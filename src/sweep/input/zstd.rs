//! A file of Zstandard frames, one after the other, as `zstd` and its parallel relatives write them.

use std::io::{self, BufRead, ErrorKind, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

pub(super) struct Frames<R: BufRead> {
    file: R,
    frame: FrameDecoder,
    is_within: bool,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(file: R) -> Frames<R> {
        Frames {
            file,
            frame: FrameDecoder::new(),
            is_within: false,
        }
    }

    /// Begins the next frame, or skips one that holds no data.
    fn begin(&mut self) -> io::Result<()> {
        match self.frame.init(&mut self.file) {
            Ok(()) => self.is_within = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let mut skipped = (&mut self.file).take(u64::from(length));
                io::copy(&mut skipped, &mut io::sink())?;
            }
            Err(error) => return Err(invalid(error)),
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.is_within = false;
        let written = self.frame.get_checksum_from_data();
        match written.is_none() || written == self.frame.get_calculated_checksum() {
            true => Ok(()),
            false => Err(invalid("the checksum of a frame is wrong")),
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within {
                if buffer.is_empty() || self.file.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                self.begin()?;
                continue;
            }
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                let some = BlockDecodingStrategy::UptoBlocks(1);
                let decoded = self.frame.decode_blocks(&mut self.file, some);
                decoded.map_err(invalid)?;
            }
            match self.frame.read(buffer)? {
                0 if !buffer.is_empty() => self.end()?,
                count => return Ok(count),
            }
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
