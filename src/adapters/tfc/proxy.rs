//! Which proxy to use: the settings, else the environment as Go programs read it (reference 1.9).

use reqwest::{NoProxy, Proxy};
use url::Url;

use super::settings::{TfcError, TfcSettings};

/// Always called directly when the proxy comes from the environment, as Go does: it is meant for the world outside.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// The proxies in force.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    /// In the order in which they are asked.
    pub(super) list: Vec<Proxy>,
    /// `host:port` of the first, for messages.
    pub(super) name: Option<String>,
}

/// Decides. `environment` is asked for variables by name.
///
/// # Errors
/// [`TfcError::Proxy`].
pub(super) fn choose(
    settings: &TfcSettings,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Proxies, TfcError> {
    let variable = |names: [&str; 2]| {
        names
            .iter()
            .find_map(|name| environment(name).filter(|v| !v.trim().is_empty()).map(|v| ((*name).to_owned(), v)))
    };
    let no_proxy = settings.no_proxy.clone().or_else(|| variable(["NO_PROXY", "no_proxy"]).map(|(_, value)| value));
    let no_proxy = no_proxy.unwrap_or_default();
    let mut proxies = Proxies::default();
    match settings.proxy.as_deref().map(str::trim) {
        Some("" | "direct") => {}
        Some(text) => proxies.add("the setting proxy", text, &no_proxy, Proxy::all)?,
        None => {
            let no_proxy = format!("{LOOPBACK},{no_proxy}");
            if let Some((name, text)) = variable(["HTTPS_PROXY", "https_proxy"]) {
                proxies.add(&name, &text, &no_proxy, Proxy::https)?;
            }
            if let Some((name, text)) = variable(["HTTP_PROXY", "http_proxy"]) {
                proxies.add(&name, &text, &no_proxy, Proxy::http)?;
            }
        }
    }
    Ok(proxies)
}

impl Proxies {
    fn add(
        &mut self,
        source_name: &str,
        text: &str,
        no_proxy: &str,
        make: fn(Url) -> reqwest::Result<Proxy>,
    ) -> Result<(), TfcError> {
        let refuse = |reason: &str| TfcError::Proxy { source_name: source_name.to_owned(), reason: reason.to_owned() };
        // Without a scheme it means http, also where "host:port" could be read as a scheme.
        let text = text.trim();
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&full).map_err(|e| refuse(&e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("only http and https proxies are possible"));
        }
        let host = url.host_str().filter(|h| !h.is_empty()).ok_or_else(|| refuse("there is no host in it"))?;
        let port = url.port_or_known_default().unwrap_or_default();
        self.name.get_or_insert(format!("{host}:{port}"));
        let proxy = make(url).map_err(|_| refuse("it is not a URL"))?;
        self.list.push(proxy.no_proxy(NoProxy::from_string(no_proxy)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(proxy: Option<&str>, environment: &[(&str, &str)]) -> Result<(usize, Option<String>), TfcError> {
        let settings = TfcSettings { proxy: proxy.map(str::to_owned), ..TfcSettings::default() };
        let look = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        choose(&settings, look).map(|p| (p.list.len(), p.name))
    }

    #[test]
    fn the_setting_wins_over_the_environment() {
        let environment = [("HTTPS_PROXY", "http://env:1"), ("http_proxy", "env:2")];
        assert_eq!(chosen(None, &environment), Ok((2, Some("env:1".into()))));
        assert_eq!(chosen(Some("http://set:3"), &environment), Ok((1, Some("set:3".into()))));
        assert_eq!(chosen(Some(""), &environment), Ok((0, None)));
        assert_eq!(chosen(Some("direct"), &environment), Ok((0, None)));
        assert_eq!(chosen(None, &[]), Ok((0, None)));
        assert_eq!(chosen(None, &[("HTTPS_PROXY", " "), ("https_proxy", "low:4")]), Ok((1, Some("low:4".into()))));
    }

    #[test]
    fn garbage_is_refused_without_repeating_it() {
        for text in ["http://", "socks5://u:hunter2@h", "http://u:hunter2@[::1", "ht!tp://hunter2"] {
            let error = chosen(Some(text), &[]).unwrap_err();
            assert!(error.to_string().contains("the setting proxy"), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
            assert!(chosen(None, &[("HTTPS_PROXY", text)]).unwrap_err().to_string().contains("HTTPS_PROXY"));
        }
    }
}
