//! The smallest client that these tests can do with: no retries, no redirects, answers taken apart.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::fake::{Fake, FakeOptions, Mode};

pub(crate) const JSON_API: &str = "application/vnd.api+json";

/// A caller with one token (or none, if it is empty).
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    url: String,
    token: String,
}

/// An answer.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Got {
    /// `data.id`.
    pub(crate) fn id(&self) -> String {
        self.json["data"]["id"].as_str().expect("an id").to_owned()
    }

    /// The secret of a create answer.
    pub(crate) fn secret(&self) -> String {
        self.attribute("token").as_str().expect("a token").to_owned()
    }

    /// One of `data.attributes`.
    pub(crate) fn attribute(&self, name: &str) -> &Value {
        &self.json["data"]["attributes"][name]
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.get(HeaderName::from_static(name)).map(|value| value.to_str().expect("ASCII"))
    }

    /// The ids of a list.
    pub(crate) fn ids(&self) -> Vec<String> {
        let items = self.json["data"].as_array().expect("a list");
        items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    }
}

/// A fake in that mode, without a rate limit.
pub(crate) fn start(mode: Mode) -> Fake {
    Fake::start(FakeOptions { mode, rate: 0, ..FakeOptions::default() })
}

impl Api {
    pub(crate) fn new(fake: &Fake, token: &str) -> Self {
        Self::with(Client::builder(), fake, token)
    }

    pub(crate) fn with(builder: reqwest::ClientBuilder, fake: &Fake, token: &str) -> Self {
        let builder = builder.redirect(reqwest::redirect::Policy::none()).timeout(Duration::from_secs(10)).no_proxy();
        Self { client: builder.build().expect("a client"), url: fake.url(), token: token.to_owned() }
    }

    /// The same client with another token.
    pub(crate) fn calling_with(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Option<String>,
    ) -> Result<Got, reqwest::Error> {
        let prefix = if path.starts_with('/') { "" } else { "/api/v2/" };
        let mut request = self.client.request(method, format!("{}{prefix}{path}", self.url));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = request.body(body.unwrap_or_default()).send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        let json = serde_json::from_str(&text).unwrap_or_default();
        Ok(Got { status, headers, text, json })
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.send(Method::GET, path, None, None).await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Got {
        self.send(Method::POST, path, Some(JSON_API), Some(body.to_string())).await.expect("an answer")
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Got {
        self.send(Method::PATCH, path, Some(JSON_API), Some(body.to_string())).await.expect("an answer")
    }

    pub(crate) async fn delete(&self, path: &str) -> Got {
        self.send(Method::DELETE, path, Some(JSON_API), None).await.expect("an answer")
    }

    /// A create call with these attributes.
    pub(crate) async fn create(&self, path: &str, attributes: Value) -> Got {
        self.post(path, json!({"data": {"type": "authentication-tokens", "attributes": attributes}})).await
    }

    /// The status of `account/details`: whether the token lives.
    pub(crate) async fn whoami(&self) -> u16 {
        self.get("account/details").await.status
    }
}
