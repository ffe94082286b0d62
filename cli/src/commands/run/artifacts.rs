//! `oz run artifacts`: what a run's agent left in its workspace.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use ozma_api::wire::{HandoffAttachment, HandoffAttachments};
use ozma_domain::artifact::is_safe;
use ozma_domain::audit::digest;
use ozma_domain::id::RunId;
use ozma_domain::text::one_line;

use crate::args::Global;
use crate::client::Client;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output::{self, Text};

const EXAMPLES: &str = "\
Examples:
  oz run artifacts RUN                        the patches and files that the run left
  oz run artifacts RUN --download left        write them into the folder left
  git apply --binary left/web.patch           take what it did into a clone of the repository web";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ArtifactsArgs {
    run: RunId,

    /// Write them into this folder, which is made if need be
    #[arg(long, value_name = "DIR")]
    download: Option<PathBuf>,

    /// Replace files that are there already
    #[arg(long, requires = "download")]
    force: bool,
}

pub(crate) async fn run(global: &Global, args: ArtifactsArgs) -> Result<Exit, Failure> {
    let list = connect::with(global, async |client| {
        let list = client.attachments(args.run).await?;
        if let Some(folder) = &args.download {
            download(client, &list, folder, args.force).await?;
        }
        Ok(list)
    })
    .await?;
    let row = |file: &HandoffAttachment| -> Vec<Text> {
        vec![one_line(&file.filepath).into(), file.kind.clone().into(), size(file.size_bytes).into()]
    };
    let empty = "The run left nothing that was saved.";
    output::list(global.output_format, &list, &list.attachments, &["PATH", "KIND", "SIZE"], row, empty)?;
    for left in &list.left_out {
        output::note(format_args!("not saved: {} ({})", one_line(&left.filepath), one_line(&left.reason)));
    }
    if let Some(folder) = args.download.filter(|_| !list.attachments.is_empty()) {
        output::note(format_args!("written into {}", folder.display()));
    }
    Ok(Exit::Succeeded)
}

/// All of them, or, where a file is in the way, none.
async fn download(client: &Client, list: &HandoffAttachments, folder: &Path, force: bool) -> Result<(), Failure> {
    for file in &list.attachments {
        if !is_safe(&file.filepath) {
            return Err(Failure::new(format!("the control plane names a file {:?}", file.filepath))
                .because("its name leads out of the folder"));
        }
        let path = folder.join(&file.filepath);
        if !force && path.symlink_metadata().is_ok() {
            return Err(Failure::new(format!("{} is there already", path.display()))
                .hint("take another folder, or replace what is there with --force"));
        }
    }
    for file in &list.attachments {
        let content = client.artifact(&file.attachment_id).await?;
        if digest(&content).to_string() != file.sha256 {
            return Err(Failure::new(format!("{} is not what was saved", file.filepath)));
        }
        let path = folder.join(&file.filepath);
        write(folder, file, &content)
            .map_err(|err| Failure::new(format!("cannot write {}", path.display())).because(err))?;
    }
    Ok(())
}

/// A link in the way is replaced, not followed; a folder in the way may be one, as it is the user's own.
fn write(folder: &Path, file: &HandoffAttachment, content: &[u8]) -> io::Result<()> {
    let path = folder.join(&file.filepath);
    fs::create_dir_all(path.parent().unwrap_or(folder))?;
    if path.symlink_metadata().is_ok() {
        fs::remove_file(&path)?;
    }
    let mode = if file.executable { 0o777 } else { 0o666 };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(content)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
