//! A process that is measured: it reads one JSON request a line and answers with one, so that ours and a peer's are
//! started, warmed up and timed in the same way.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

/// A running worker; ends with this value.
pub(crate) struct Worker {
    name: String,
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts `command` and waits for its greeting, `{"name": ...}`.
    pub(crate) fn start(mut command: Command) -> anyhow::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("{program} has no pipes");
        };
        let (requests, answers) = (Some(requests), BufReader::new(answers));
        let mut worker = Self { name: program, child, requests, answers };
        let greeting = worker.answer()?;
        if let Some(name) = greeting["name"].as_str() {
            worker.name = name.to_owned();
        }
        Ok(worker)
    }

    /// What the worker calls itself.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// One request and its answer.
    pub(crate) fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        let requests = self.requests.as_mut().context("the worker has been told to end")?;
        writeln!(requests, "{request}").with_context(|| format!("{} takes no requests", self.name))?;
        requests.flush()?;
        let answer = self.answer()?;
        match answer["error"].as_str() {
            Some(error) => bail!("{} cannot do {request}: {error}", self.name),
            None => Ok(answer),
        }
    }

    fn answer(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("{} ended early ({}); its own message is above", self.name, self.child.wait()?);
        }
        serde_json::from_str(&line).with_context(|| format!("{} answered {line:?}", self.name))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.requests = None;
        let _ = self.child.wait();
    }
}

/// Answers requests from standard input until it ends.
pub(crate) fn serve(
    name: &str,
    mut answer: impl FnMut(&Value) -> anyhow::Result<Value>,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::json!({ "name": name }))?;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let reply = answer(&request).unwrap_or_else(|e| serde_json::json!({ "error": format!("{e:#}") }));
        writeln!(out, "{reply}")?;
        out.flush()?;
    }
    Ok(())
}
