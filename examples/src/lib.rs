//! Small programs that show one idea each, and a real operator with its tests.

pub mod guestbook;
