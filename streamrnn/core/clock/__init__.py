"""The clock of seasons: local time with daylight-saving changes, and days that resemble other weekdays."""
