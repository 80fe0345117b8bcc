"""What `dicomframe.Client` can do, one class a group of verbs; `client/client.py` joins them."""
