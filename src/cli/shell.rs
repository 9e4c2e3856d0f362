//! `parallax completions` and `parallax man`: what a package installs beside the program, made from its own arguments.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use parallax::fault::Fault;
use parallax::report::OutputDir;

use super::arguments::{Arguments, ManArguments};
use super::failure::Failure;
use super::product;

pub(super) fn completions(shell: Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "parallax", &mut script);
    product(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

pub(super) fn man(a: &ManArguments) -> Result<u8, Failure> {
    // Built, the subcommands know their full names: parallax-policy-show.
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    match &a.dir {
        None => product(&String::from_utf8_lossy(&page(&command)?))?,
        Some(dir) => pages(&command, dir)?,
    }
    Ok(0)
}

fn pages(command: &clap::Command, dir: &Path) -> Result<(), Failure> {
    let name = format!("{}.1", command.get_display_name().unwrap_or(command.get_name()));
    let page = page(command)?;
    OutputDir::probe(dir).and_then(|out| out.write(&name, &page)).map_err(parallax::Error::from)?;
    command.get_subcommands().filter(|c| !c.is_hide_set()).try_for_each(|c| pages(c, dir))
}

fn page(command: &clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let made = clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).render(&mut page);
    made.map_err(|e| Failure::new(Fault::Internal, format!("no page for {name}: {e}")))?;
    Ok(page)
}
