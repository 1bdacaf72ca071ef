use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::Url;

/// The body of what stands there.
///
/// # Errors
/// When nothing answers well within seconds.
pub(crate) async fn http_get(address: &str, path: &str) -> Result<String> {
    http_get_url(Url::parse(&format!("http://{address}{path}"))?).await
}

/// The same, by its whole address.
///
/// # Errors
/// When nothing answers well within seconds; with what it says.
pub(crate) async fn http_get_url(url: Url) -> Result<String> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .build()?;
    let answer = client.get(url).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{status}: {text}");
    Ok(text)
}
