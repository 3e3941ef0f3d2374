//! Changing the tree without writing a document: chmod, chown, rm, mv.

use std::sync::Arc;

use super::drafts::looks_temporary;
use super::ino::{Fixed, Ino, Node};
use super::opens::{Open, Target};
use super::tree::SetAttr;
use super::{Caller, Errno, Reply, Result, Vfs};
use crate::domain::document;
use crate::domain::error::Error;
use crate::domain::name::RoleName;

impl Vfs {
    /// SETATTR: chmod and chown of credentials change their role; sizes of drafts; all else is accepted and ignored,
    /// as tools that copy modes and times expect.
    pub fn setattr(&self, caller: Caller, ino: Ino, handle: Option<u64>, set: SetAttr) -> Reply<super::Attr> {
        let Some(node) = Node::from_ino(ino) else { return Reply::Now(Err(Errno(libc::ENOENT))) };
        match node {
            Node::SharedDoor { .. } | Node::OpenDoor { .. } if set.size.is_some() => {
                let sentence = "credential files are read-only: tokens are issued, never written";
                let path = self.door_path(node).unwrap_or_else(|| "creds".into());
                Reply::Now(Err(self.refuse(caller, &path, libc::EACCES, sentence)))
            }
            Node::CredsDir(role) | Node::SharedDoor { role, .. } | Node::OpenDoor { role, .. }
                if set.mode.is_some() || set.uid.is_some() || set.gid.is_some() =>
            {
                let me = self.me();
                Reply::later(async move {
                    let work = me.clone().set_access(caller, role, set);
                    me.bounded(caller, "creds", me.settings.deadline, work).await?;
                    me.attr(node)
                })
            }
            Node::Draft(serial) => {
                self.drafts.set(serial, set.size, set.mode.map(|mode| (mode & 0o777) as u16), self.issuer.now());
                Reply::Now(self.attr(node))
            }
            _ => {
                // `truncate -s 0` and vim: a size alone commits nothing; through its handle it cuts the draft.
                if let (Some(size), Some(Open::Write(draft))) = (set.size, handle.and_then(|h| self.opens.get(h))) {
                    let size = usize::try_from(size.min(super::drafts::LARGEST)).unwrap_or_default();
                    draft.lock().bytes.resize(size, 0);
                }
                Reply::Now(self.attr(node))
            }
        }
    }

    async fn set_access(self: Arc<Self>, caller: Caller, number: u32, set: SetAttr) -> Result<()> {
        let name = self.role_name(number)?;
        let path = format!("creds/{name}");
        let role = self.issuer.book().find_role(&name).map(|entry| entry.role.clone());
        let mut role = role.map_err(|error| self.fail(caller, &path, &error))?;
        let access = &mut role.access;
        access.uid = set.uid.or(access.uid);
        access.gid = set.gid.or(access.gid);
        // Credentials are read and nothing else.
        access.mode = set.mode.map(|mode| (mode & 0o444) as u16).or(access.mode);
        self.issuer.write_role(&name, role).await.map_err(|error| self.fail(caller, &path, &error))
    }

    /// UNLINK.
    pub fn unlink(&self, caller: Caller, parent: Ino, name: &std::ffi::OsStr) -> Reply<()> {
        let name = name.to_string_lossy().into_owned();
        let me = self.me();
        match Node::from_ino(parent) {
            Some(Node::Fixed(Fixed::Roles)) => {
                if let Some(serial) = self.drafts.find(&name) {
                    self.drafts.remove(serial);
                    return Reply::Now(Ok(()));
                }
                let Ok(role) = name.parse::<RoleName>() else { return Reply::Now(Err(Errno(libc::ENOENT))) };
                let drafts = self.opens.drafts_of(&Target::Role(role.clone()));
                let in_force = self.issuer.book().role(&role).is_some();
                if !in_force && !drafts.is_empty() {
                    drafts.iter().for_each(|draft| draft.lock().void = true);
                    return Reply::Now(Ok(()));
                }
                Reply::later(async move {
                    let (path, issuer) = (format!("roles/{role}"), me.clone());
                    let work = async move {
                        let removed = issuer.issuer.remove_role(&role).await;
                        removed.map_err(|error| issuer.fail(caller, &format!("roles/{role}"), &error))?;
                        // A later close of a file that is gone must not bring it back.
                        drafts.iter().for_each(|draft| draft.lock().void = true);
                        Ok(())
                    };
                    me.bounded(caller, &path, me.settings.deadline, work).await
                })
            }
            Some(Node::LeaseDir(_)) => Reply::later(async move {
                me.removing(caller, &name);
                let revoked = me.issuer.revoke_by_id(&name, me.settings.deadline).await;
                me.removed(&name);
                revoked.map_err(|error| me.fail(caller, &format!("leases/{name}"), &error))
            }),
            _ => {
                let sentence = "only files in roles/ and leases/ can be removed; a role's other files go with it";
                Reply::Now(Err(self.refuse(caller, &name, libc::EPERM, sentence)))
            }
        }
    }

    /// RMDIR: nothing here can be removed that way.
    pub fn rmdir(&self, caller: Caller, _: Ino, name: &std::ffi::OsStr) -> Reply<()> {
        let sentence = "directories here come and go with their roles: remove the file in roles/ instead";
        Reply::Now(Err(self.refuse(caller, &name.to_string_lossy(), libc::EPERM, sentence)))
    }

    /// RENAME, within `roles/`.
    pub fn rename(
        &self,
        caller: Caller,
        from: (Ino, &std::ffi::OsStr),
        to: (Ino, &std::ffi::OsStr),
        no_replace: bool,
    ) -> Reply<()> {
        let roles = Node::Fixed(Fixed::Roles).ino();
        let (old, new) = (from.1.to_string_lossy().into_owned(), to.1.to_string_lossy().into_owned());
        if from.0 != roles || to.0 != roles {
            let sentence = "names can be changed in roles/ only";
            let errno = if from.0 == to.0 { libc::EPERM } else { libc::EACCES };
            return Reply::Now(Err(self.refuse(caller, &old, errno, sentence)));
        }
        let target = new.parse::<RoleName>().ok().filter(|_| !looks_temporary(&new));
        let taken = self.drafts.find(&new).is_some()
            || target.as_ref().is_some_and(|name| self.issuer.book().role(name).is_some());
        if no_replace && taken {
            return Reply::Now(Err(Errno(libc::EEXIST)));
        }
        let draft = self.drafts.find(&old);
        let me = self.me();
        let path = format!("roles/{new}");
        match (draft, target) {
            (Some(serial), None) => {
                self.drafts.rename(serial, &new);
                Reply::Now(Ok(()))
            }
            (Some(serial), Some(name)) => Reply::later(async move {
                let (vfs, shown) = (me.clone(), path.clone());
                let work = async move {
                    let bytes = vfs.drafts.bytes(serial).unwrap_or_default();
                    let committed = vfs.commit_role(&name, &bytes).await;
                    committed.map_err(|error| vfs.fail(caller, &shown, &error))?;
                    vfs.drafts.remove(serial);
                    Ok(())
                };
                me.bounded(caller, &path, me.settings.open_deadline, work).await
            }),
            (None, target) => {
                let Ok(role) = old.parse::<RoleName>() else { return Reply::Now(Err(Errno(libc::ENOENT))) };
                Reply::later(async move {
                    let (vfs, shown) = (me.clone(), path.clone());
                    let work = async move {
                        let moved = match target {
                            Some(name) => vfs.issuer.rename_role(&role, &name).await,
                            None => vfs.set_aside(&role, &new).await,
                        };
                        moved.map_err(|error| vfs.fail(caller, &shown, &error))
                    };
                    me.bounded(caller, &path, me.settings.deadline, work).await
                })
            }
        }
    }

    /// An editor moves a role to its backup name: the text becomes a draft, the role goes (with its grace).
    async fn set_aside(&self, role: &RoleName, backup: &str) -> std::result::Result<(), Error> {
        let text = {
            let book = self.issuer.book();
            document::render_role(&book.find_role(role)?.role)
        };
        let serial = self.issuer.take_serial()?;
        self.issuer.remove_role(role).await?;
        self.drafts.create(serial, backup, text.into_bytes(), 0o644, self.issuer.now());
        Ok(())
    }
}
