"""The steps of a lab script, one small file each; `script` runs them in order."""
