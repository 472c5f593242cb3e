"""What can be asked, independent of any store: requests, results, routes, display."""
