"""Where a file comes from: signed Content Credentials in it, and marks in sound and picture that outlive them."""
