//! Rotation of the anchor itself: make, try, store, only then delete the former.

use std::sync::Arc;
use std::time::Duration;

use super::{Issuer, later};
use crate::domain::anchor::Anchor;
use crate::domain::book::Origin;
use crate::domain::error::Error;
use crate::domain::event::Event;
use crate::domain::lease::LeaseId;
use crate::domain::ledger::Entry;
use crate::domain::name::AnchorName;
use crate::domain::owner::{CredentialType, Owner};
use crate::domain::ports::{ApiErrorKind, CreateToken, Effect};
use crate::domain::token::Issued;

/// Life of a new anchor token; upstream ends it then if nobody rotates before.
const ANCHOR_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Shortest distance of two rotations of an anchor.
const ANCHOR_INTERVAL: Duration = Duration::from_secs(10);

/// Attempts to delete the former token before an operator is told to do it.
const DELETE_TRIES: u32 = 3;

impl Issuer {
    /// Replaces an anchor's token by a new one of the same owner, and deletes the former.
    ///
    /// # Errors
    /// An anchor of the configuration file or of an organization, whose owner upstream does not tell, or too soon; what
    /// making the token met. The old token stays in force then.
    pub async fn rotate_anchor(self: &Arc<Self>, name: &AnchorName, deadline: Duration) -> Result<(), Error> {
        let (issuer, name) = (self.clone(), name.clone());
        // Carried to its end even if the writer gives up: half a rotation would leave a token nobody knows.
        let work = self.runtime.spawn(async move { issuer.replace_anchor(&name).await });
        match tokio::time::timeout(deadline, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::Internal),
            Err(_) => Err(Error::Deadline(deadline)),
        }
    }

    async fn replace_anchor(self: &Arc<Self>, name: &AnchorName) -> Result<(), Error> {
        let _one_at_a_time = self.anchors.lock().await;
        let entry = self.book.lock().find_anchor(name)?.clone();
        let (former, now) = (entry.anchor, self.now());
        if entry.origin == Origin::File {
            return Err(Error::OwnedByFile { what: format!("anchor \"{name}\" (its token_file)") });
        }
        if former.rotated_at.is_some_and(|at| later(at, ANCHOR_INTERVAL) > now) {
            return Err(Error::RotationTooSoon { interval: ANCHOR_INTERVAL });
        }
        let (owner, credential_type) = match &former.access.owner {
            Some(owner @ Owner::User { .. }) => (owner.clone(), CredentialType::User),
            Some(owner @ Owner::Team { .. }) => (owner.clone(), CredentialType::Team),
            Some(Owner::Organization { name }) => {
                return Err(Error::NotSupported(format!(
                    "the token of organization {name} dies the moment it is regenerated: if the answer were lost, tfcfs would be locked out. Use a team or user token as anchor, or write a new token to config"
                )));
            }
            None => {
                return Err(Error::NotSupported(
                    "upstream does not tell whose token this anchor is, so it cannot be rotated; write a new token to config".into(),
                ));
            }
        };
        let issued = self.make_anchor_token(&former, &owner, credential_type).await?;
        let mut access = former.access.clone();
        access.token = issued.token.clone();
        // The new token must work before anything depends on it.
        if let Err(error) = self.api.whoami(&access).await {
            let _ = self.api.revoke(&former.access, &issued.id).await;
            return Err(Error::upstream(error, Some(&owner)));
        }
        let next =
            Anchor { name: name.clone(), access, token_id: Some(issued.id.clone()), rotated_at: Some(self.now()) };
        if let Err(error) = self.ledger.write(vec![Entry::Anchor(next.clone())]).await {
            let _ = self.api.revoke(&former.access, &issued.id).await;
            return Err(error.into());
        }
        self.book.lock().put_anchor(next.clone(), Origin::Mount);
        self.observe(Event::ConfigWritten);
        self.delete_former(&former, &next).await
    }

    async fn make_anchor_token(
        &self,
        former: &Anchor,
        owner: &Owner,
        credential_type: CredentialType,
    ) -> Result<Issued, Error> {
        let description = format!("tfcfs {} anchor {} {}", self.settings.host, former.name, LeaseId::new(self.now()));
        let end = later(self.now(), ANCHOR_LIFE);
        let request = CreateToken { owner: owner.clone(), credential_type, description, expires_at: end };
        match self.api.create(&former.access, &request).await {
            Ok(issued) => Ok(issued),
            Err(error) => {
                if error.effect == Effect::Unknown {
                    self.delete_lost_anchor(former, owner, &request.description).await;
                }
                Err(Error::upstream(error, Some(owner)))
            }
        }
    }

    /// The answer was lost: a token of that description may exist.
    async fn delete_lost_anchor(&self, former: &Anchor, owner: &Owner, description: &str) {
        let organization = match owner {
            Owner::Team { id } => self.api.team_organization(&former.access, id).await.ok().flatten(),
            _ => None,
        };
        let listed = self.api.list(&former.access, owner, organization.as_deref()).await;
        let lost = listed.unwrap_or_default().into_iter().filter(|one| one.description.as_deref() == Some(description));
        for one in lost {
            let _ = self.api.revoke(&former.access, &one.id).await;
        }
    }

    async fn delete_former(&self, former: &Anchor, next: &Anchor) -> Result<(), Error> {
        let by_hand = |id: &str| {
            Error::NotSupported(format!(
                "anchor \"{}\" is rotated and in force, but its former token {id} could not be deleted: delete it by hand in the web interface",
                former.name
            ))
        };
        let Some(id) = &former.token_id else { return Err(by_hand("(upstream did not tell its id)")) };
        for _ in 0..DELETE_TRIES {
            match self.api.revoke(&next.access, id).await {
                Ok(()) => return Ok(()),
                Err(error) if error.kind == ApiErrorKind::NotVisible => return Ok(()),
                Err(error) => tracing::warn!(anchor = %former.name, %error, "could not delete the former anchor token"),
            }
        }
        Err(by_hand(&id.0))
    }
}
