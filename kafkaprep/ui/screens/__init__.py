"""One screen per module, its layout in the .tcss beside it."""
