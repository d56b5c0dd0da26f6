"""Series as users have them: files, tables, arrays; their times, gaps and covariates."""
