//! What is asked of every resource that users name.

use crate::limits;
use crate::template::InvalidField;
use crate::text;

/// `what` has an article, such as "an environment".
pub(crate) fn name(what: &str, name: &str) -> Result<(), InvalidField> {
    if name.trim().is_empty() {
        return Err(InvalidField::new("name", format!("{what} needs a name")));
    }
    if text::is_name(name) { Ok(()) } else { Err(InvalidField::new("name", text::NAME)) }
}

pub(crate) fn description(description: Option<&str>) -> Result<(), InvalidField> {
    let most = limits::DESCRIPTION_CHARS;
    if description.is_some_and(|text| text.chars().count() > most) {
        return Err(InvalidField::new("description", format!("at most {most} characters")));
    }
    Ok(())
}

/// Whether a text may name an image.
pub(crate) fn docker_image(image: Option<&str>) -> Result<(), InvalidField> {
    let is_none = |image: &str| {
        image.is_empty() || image.len() > 500 || image.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    if image.is_some_and(is_none) {
        return Err(InvalidField::new("docker_image", "an image reference such as debian:12, without spaces"));
    }
    Ok(())
}

pub(crate) fn setup_commands(commands: &[String]) -> Result<(), InvalidField> {
    if commands.iter().any(|command| command.trim().is_empty() || command.contains('\0')) {
        return Err(InvalidField::new("setup_commands", "each command needs text, without NUL"));
    }
    items("setup_commands", commands.len())
}

pub(crate) fn items(field: &str, count: usize) -> Result<(), InvalidField> {
    let most = limits::ENVIRONMENT_ITEMS;
    if count > most { Err(InvalidField::new(field, format!("at most {most}"))) } else { Ok(()) }
}

/// No name of a secret, or of anything else, comes twice.
pub(crate) fn once<T: Ord + std::fmt::Display>(field: &str, items: &[T]) -> Result<(), InvalidField> {
    let mut sorted: Vec<&T> = items.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(InvalidField::new(field, format!("{} is named twice", pair[0]))),
        None => Ok(()),
    }
}
