//! Parses the `hosts:` line of nsswitch.conf(5), which lists the sources that resolve names, in order.

/// One source of the line, with the action after each of its results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) name: Box<str>,
    pub(super) success: Action,
    pub(super) not_found: Action,
    pub(super) unavailable: Action,
    pub(super) try_again: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Return,
    Continue,
    Merge,
}

/// The reason why versions of the system may read the line in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclear(pub(super) &'static str);

impl Source {
    /// Returns a source without actions in brackets.
    ///
    /// Success ends the walk, and any other result continues with the next source.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            success: Action::Return,
            not_found: Action::Continue,
            unavailable: Action::Continue,
            try_again: Action::Continue,
        }
    }

    /// Returns whether only success ends the walk.
    pub(super) fn is_standard(&self) -> bool {
        *self == Self::new(&self.name)
    }

    /// Returns whether every result except success ends the walk.
    pub(super) fn is_last(&self) -> bool {
        let others = [self.not_found, self.unavailable, self.try_again];
        others.iter().all(|action| *action == Action::Return)
    }

    fn set(&mut self, status: &str, action: Action) -> Result<(), Unclear> {
        *self.on(status)? = action;
        Ok(())
    }

    /// Sets the action of all results except `status`, as `!STATUS=action` requires.
    fn set_others(&mut self, status: &str, action: Action) -> Result<(), Unclear> {
        let kept = *self.on(status)?;
        for other in STATUSES {
            self.set(other, action)?;
        }
        self.set(status, kept)
    }

    fn on(&mut self, status: &str) -> Result<&mut Action, Unclear> {
        match status.to_ascii_lowercase().as_str() {
            "success" => Ok(&mut self.success),
            "notfound" => Ok(&mut self.not_found),
            "unavail" => Ok(&mut self.unavailable),
            "tryagain" => Ok(&mut self.try_again),
            _ => Err(Unclear("has an unknown status in brackets")),
        }
    }
}

const STATUSES: [&str; 4] = ["success", "notfound", "unavail", "tryagain"];

/// Reads the sources of `hosts:`. Returns `None` if the file has no such line.
///
/// The grammar is that of glibc's `nss_action_parse.c`. Two `hosts:` lines are unclear, because glibc 2.33
/// and later use the last line, and earlier versions use the first. A backslash is unclear too, because a
/// backslash continues a line on the BSDs.
pub(super) fn hosts(text: &[u8]) -> Result<Option<Vec<Source>>, Unclear> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().filter_map(hosts_line);
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err(Unclear("has more than one line for hosts"));
    }
    if line.contains('\\') {
        return Err(Unclear("has a backslash in its line for hosts"));
    }
    sources(line).map(Some)
}

/// Returns the text after `hosts:` on its line. glibc requires white space or a colon after the database.
///
/// According to nsswitch.conf(5), a `#` later in the line starts a comment. In glibc 2.33 and later, the `#` is a
/// source (an experiment with 2.36). This parser returns the `#` as a source, which is unknown.
fn hosts_line(line: &str) -> Option<&str> {
    let rest = line.trim_ascii().strip_prefix("hosts")?;
    let is_end = |letter: char| letter.is_ascii_whitespace() || letter == ':';
    (rest.is_empty() || rest.starts_with(is_end)).then(|| rest.trim_start_matches(is_end))
}

fn sources(mut rest: &str) -> Result<Vec<Source>, Unclear> {
    let mut found: Vec<Source> = Vec::new();
    let mut may_act = false;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(found);
        }
        if let Some(inside) = rest.strip_prefix('[') {
            let (actions, after) = inside
                .split_once(']')
                .ok_or(Unclear("has a bracket without its end"))?;
            // At brackets that follow no source, glibc silently stops reading.
            let source = found
                .last_mut()
                .filter(|_| may_act)
                .ok_or(Unclear("has brackets that follow no source"))?;
            read_actions(source, actions)?;
            may_act = false;
            rest = after;
        } else {
            let end = rest.find(|letter: char| letter.is_ascii_whitespace() || letter == '[');
            let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
            found.push(Source::new(name));
            may_act = true;
            rest = after;
        }
    }
}

/// Reads actions such as `NOTFOUND=return !UNAVAIL=continue`, with or without white space around `=`.
fn read_actions(source: &mut Source, text: &str) -> Result<(), Unclear> {
    let mut rest = text.trim_ascii();
    if rest.is_empty() {
        return Err(Unclear("has empty brackets"));
    }
    while !rest.is_empty() {
        let (status, after) = rest
            .split_once('=')
            .ok_or(Unclear("has a status without an action"))?;
        let after = after.trim_ascii_start();
        let end = after.find(|letter: char| letter.is_ascii_whitespace());
        let (word, after) = after.split_at(end.unwrap_or(after.len()));
        let action = action(word)?;
        let status = status.trim_ascii();
        match status.strip_prefix('!') {
            Some(status) => source.set_others(status, action)?,
            None => source.set(status, action)?,
        }
        rest = after.trim_ascii_start();
    }
    Ok(())
}

fn action(word: &str) -> Result<Action, Unclear> {
    match word.to_ascii_lowercase().as_str() {
        "return" => Ok(Action::Return),
        "continue" => Ok(Action::Continue),
        "merge" => Ok(Action::Merge),
        _ => Err(Unclear("has an unknown action in brackets")),
    }
}

#[cfg(test)]
mod tests;
