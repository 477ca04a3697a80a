"""Figures of a conversion on held-out sentences, beside trivial answers, and the page that shows them."""
