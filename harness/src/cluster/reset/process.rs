//! A program that runs in a pod and is spoken to line by line, through the host's API.

use kube::api::AttachedProcess;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

/// A program that runs.
pub(super) struct Process {
    input: Box<dyn AsyncWrite + Send + Unpin>,
    output: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    errors: Box<dyn AsyncRead + Send + Unpin>,
    /// What it complained about.
    complaints: Vec<u8>,
    /// The connection to it, which ends when this is dropped; then the program has nobody to listen to and ends, too.
    _connection: Option<AttachedProcess>,
}

impl Process {
    pub(super) fn new(
        input: impl AsyncWrite + Send + Unpin + 'static,
        output: impl AsyncRead + Send + Unpin + 'static,
        errors: impl AsyncRead + Send + Unpin + 'static,
    ) -> Self {
        Self {
            input: Box::new(input),
            output: BufReader::new(Box::new(output)),
            errors: Box::new(errors),
            complaints: Vec::new(),
            _connection: None,
        }
    }

    /// One in a pod, with all three of its streams.
    pub(super) fn attached(mut connection: AttachedProcess) -> Self {
        let (input, output, errors) = (
            connection.stdin().expect("it was asked for"),
            connection.stdout().expect("it was asked for"),
            connection.stderr().expect("it was asked for"),
        );
        Self {
            _connection: Some(connection),
            ..Self::new(input, output, errors)
        }
    }

    /// Tells it a word. One that has ended does not hear it, which [`answer`](Self::answer) then tells.
    pub(super) async fn tell(&mut self, word: &str) {
        if let Err(error) = self.input.write_all(format!("{word}\n").as_bytes()).await {
            tracing::debug!(%error, "the program does not listen any more");
        }
    }

    /// Its next line; its last complaint, if there is none.
    pub(super) async fn answer(&mut self) -> Result<String, String> {
        let mut line = String::new();
        // A line that is cut off is none, so nothing is lost with it.
        let answered = tokio::select! {
            answered = self.output.read_line(&mut line) => answered,
            // One that nobody listens to would wait with its answer.
            never = listen(&mut self.errors, &mut self.complaints) => match never {},
        };
        if let Err(error) = answered {
            tracing::debug!(%error, "the program's words are cut off");
        }
        if line.ends_with('\n') {
            return Ok(line);
        }
        if let Err(error) = self.errors.read_to_end(&mut self.complaints).await {
            tracing::debug!(%error, "the program's complaints are cut off");
        }
        Err(reason(&line, &String::from_utf8_lossy(&self.complaints)))
    }
}

/// Keeps what it complains about for as long as it runs.
async fn listen(
    errors: &mut (impl AsyncRead + Unpin),
    complaints: &mut Vec<u8>,
) -> std::convert::Infallible {
    while let Ok(1..) = errors.read_buf(complaints).await {}
    std::future::pending().await
}

/// A program that ends well says a report; one that does not says why in its last line.
fn reason(output: &str, errors: &str) -> String {
    let last = |text: &str| text.trim().lines().next_back().map(str::to_owned);
    last(errors)
        .or_else(|| last(output))
        .unwrap_or_else(|| "it said nothing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(output: &'static str, errors: &'static str) -> Process {
        Process::new(tokio::io::sink(), output.as_bytes(), errors.as_bytes())
    }

    #[tokio::test]
    async fn each_line_is_an_answer() {
        let mut process = process("one\ntwo\n", "INFO a\n");
        process.tell("word").await;
        assert_eq!(process.answer().await.unwrap(), "one\n");
        assert_eq!(process.answer().await.unwrap(), "two\n");
    }

    #[tokio::test]
    async fn the_reason_is_the_last_line_that_was_said() {
        for (output, errors, expected) in [
            ("", "INFO a\nERROR b\n", "ERROR b"),
            ("half", "", "half"),
            ("half", "ERROR b", "ERROR b"),
            ("", "", "it said nothing"),
        ] {
            let reason = process(output, errors).answer().await.unwrap_err();
            assert_eq!(reason, expected);
        }
    }

    #[tokio::test]
    async fn a_program_that_complains_and_goes_on_is_heard() {
        let (errors, mut complain) = tokio::io::simplex(8);
        let (output, mut say) = tokio::io::simplex(8);
        let mut process = Process::new(tokio::io::sink(), output, errors);
        let program = async {
            complain
                .write_all("more than anybody keeps".as_bytes())
                .await?;
            say.write_all(b"done\n").await
        };
        let (answer, said) = tokio::join!(process.answer(), program);
        said.unwrap();
        assert_eq!(answer.unwrap(), "done\n");
    }
}
