"""Clusters a lab can run on, each behind the protocol in `base`."""
