//! Host names and address literals: what Postfix calls valid.
