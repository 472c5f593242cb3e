"""Every setting: its type, where it is read from, how it is checked, and what a reload may change."""
