"""The site: what its pages are made with. The pages are the Markdown files here."""
