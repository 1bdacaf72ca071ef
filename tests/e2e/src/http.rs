use std::time::Duration;

use anyhow::Result;

/// The body of what stands there.
///
/// # Errors
/// When nothing answers well within seconds.
pub(crate) async fn http_get(address: &str, path: &str) -> Result<String> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .build()?;
    let answer = client.get(format!("http://{address}{path}")).send().await?;
    Ok(answer.error_for_status()?.text().await?)
}
