"""The clock that seasons follow: local time with its daylight-saving changes, and days that are like other weekdays."""
