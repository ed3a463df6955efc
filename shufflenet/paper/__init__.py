"""The paper's claims, and the audit of its printed figures."""
